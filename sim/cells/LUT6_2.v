// Two functions of one look-up table: O6 of all six inputs, O5 of the lower five and the lower half of INIT (UG474).
module LUT6_2 #(parameter [63:0] INIT = 64'd0) (output O6, O5, input I0, I1, I2, I3, I4, I5);
  assign O6 = INIT[{I5, I4, I3, I2, I1, I0}];
  assign O5 = INIT[{1'b0, I4, I3, I2, I1, I0}];
endmodule
