// A register with enable and synchronous reset (UG474).
module FDRE #(parameter [0:0] INIT = 1'b0) (output reg Q, input C, CE, R, D);
  initial Q = INIT;
  always @(posedge C)
    if (R) Q <= 1'b0;
    else if (CE) Q <= D;
endmodule
