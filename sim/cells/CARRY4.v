// Four carry positions: each passes its carry on where its select is high, else takes its data (UG474).
// A chain begins with CYINIT or goes on with CI; the other is low.
module CARRY4 (output [3:0] O, output [3:0] CO, input CI, CYINIT, input [3:0] DI, S);
  assign CO[0] = S[0] ? CI | CYINIT : DI[0];
  assign CO[1] = S[1] ? CO[0] : DI[1];
  assign CO[2] = S[2] ? CO[1] : DI[2];
  assign CO[3] = S[3] ? CO[2] : DI[3];
  assign O = S ^ {CO[2:0], CI | CYINIT};
endmodule
