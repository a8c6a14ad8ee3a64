// The part of a DSP slice that the matrix unit uses: P = Z + X + Y or Z - X - Y, with Z and X zero or P, Y zero
// or C (UG479, "OPMODE Control Bits", "ALUMODE Inputs"). Any other attribute, mode or use of a pin ends the
// simulation: first what never changes, then, at each step, the mode. 2P - C is refused because the slice would
// give -C.
module DSP48E1 #(
  parameter USE_MULT = "MULTIPLY", USE_DPORT = "FALSE", USE_SIMD = "ONE48", USE_PATTERN_DETECT = "NO_PATDET",
  parameter A_INPUT = "DIRECT", B_INPUT = "DIRECT",
  parameter integer AREG = 1, BREG = 1, ACASCREG = 1, BCASCREG = 1, CREG = 1, DREG = 1, ADREG = 1, MREG = 1,
  parameter integer PREG = 1, OPMODEREG = 1, ALUMODEREG = 1, CARRYINREG = 1, CARRYINSELREG = 1, INMODEREG = 1,
  parameter [6:0] IS_OPMODE_INVERTED = 7'd0
) (
  output [47:0] P,
  input CLK,
  input [29:0] A, ACIN,
  input [17:0] B, BCIN,
  input [47:0] C, PCIN,
  input [24:0] D,
  input [6:0] OPMODE,
  input [3:0] ALUMODE,
  input [4:0] INMODE,
  input [2:0] CARRYINSEL,
  input CARRYIN, CARRYCASCIN, MULTSIGNIN,
  input CEA1, CEA2, CEB1, CEB2, CEAD, CED, CEM, CEC, CEP, CECTRL, CEALUMODE, CECARRYIN, CEINMODE,
  input RSTA, RSTB, RSTC, RSTD, RSTM, RSTP, RSTCTRL, RSTALUMODE, RSTALLCARRYIN, RSTINMODE
);
  reg [47:0] c = 48'd0, p = 48'd0;
  reg [6:0] opmode = 7'd0;
  reg [3:0] alumode = 4'd0;

  wire legal_attributes = USE_MULT == "NONE" && USE_DPORT == "FALSE" && USE_SIMD == "ONE48"
    && USE_PATTERN_DETECT == "NO_PATDET" && A_INPUT == "DIRECT" && B_INPUT == "DIRECT" && MREG == 0
    && AREG == 1 && BREG == 1 && ACASCREG == 1 && BCASCREG == 1 && CREG == 1 && DREG == 1 && ADREG == 1
    && PREG == 1 && OPMODEREG == 1 && ALUMODEREG == 1 && CARRYINREG == 1 && CARRYINSELREG == 1
    && INMODEREG == 1;
  wire legal_pins = ~|{A, ACIN, B, BCIN, D, PCIN, INMODE, CARRYINSEL, CARRYIN, CARRYCASCIN, MULTSIGNIN}
    && &{CEC, CEP, CECTRL, CEALUMODE, CECARRYIN, CEINMODE}
    && ~|{CEA1, CEA2, CEB1, CEB2, CEAD, CED, CEM}
    && ~|{RSTA, RSTB, RSTC, RSTD, RSTM, RSTP, RSTCTRL, RSTALUMODE, RSTALLCARRYIN, RSTINMODE};
  // Those of the vendor's list that have a use here; with P in Z or X it asks for PREG = 1.
  wire legal_mode = opmode == 7'b000_00_00 || opmode == 7'b000_11_00 || opmode == 7'b010_00_00
    || opmode == 7'b010_11_00 || opmode == 7'b010_00_10 || opmode == 7'b010_11_10;
  wire legal_sign = alumode == 4'b0000 || (alumode == 4'b0011 && opmode[1:0] == 2'b00);

  wire [47:0] z = opmode[6:4] == 3'b010 ? p : 48'd0;
  wire [47:0] x = opmode[1:0] == 2'b10 ? p : 48'd0;
  wire [47:0] y = opmode[3:2] == 2'b11 ? c : 48'd0;

  always @(posedge CLK) begin
    c <= C;
    opmode <= OPMODE ^ IS_OPMODE_INVERTED;
    alumode <= ALUMODE;
    p <= alumode == 4'b0011 ? z - (x + y) : z + x + y;
`ifndef CPT_ONLY_ARITHMETIC
    if (!legal_attributes || !legal_pins) $fatal(1, "DSP48E1: attributes or pins outside the matrix unit's use");
    if (!legal_mode || !legal_sign) $fatal(1, "DSP48E1: OPMODE %b with ALUMODE %b", opmode, alumode);
`endif
  end
  assign P = p;
endmodule
