// A stand-in with the accelerator's ports whose behaviour the harness must accept (mode 0) or refuse.
// Register 0x40 sets the mode, 0x44 the memory base, 0x4c starts; 0x24 reads busy, 0x28 the busy cycles.
//   0  reads 4 bursts of 16 beats on m0 and on m1, writes their 16 sums in one burst
//   1  withdraws ARVALID of m0           2  changes AWADDR while it waits
//   3  asks for 17 beats                 4  crosses 4 KB
//   5  asks for 4-byte beats             6  never raises WLAST
//   7  never answers a register read     8  raises a register response nobody asked for
//   9  makes ARVALID depend on RVALID   10  changes WDATA while it waits
module cpt_accelerator(input clk, input rst, output irq,
  input [11:0] s_axil_awaddr, input [2:0] s_axil_awprot, input s_axil_awvalid, output s_axil_awready,
  input [31:0] s_axil_wdata, input [3:0] s_axil_wstrb, input s_axil_wvalid, output s_axil_wready,
  output [1:0] s_axil_bresp, output reg s_axil_bvalid, input s_axil_bready,
  input [11:0] s_axil_araddr, input [2:0] s_axil_arprot, input s_axil_arvalid, output s_axil_arready,
  output reg [31:0] s_axil_rdata, output [1:0] s_axil_rresp, output s_axil_rvalid, input s_axil_rready,
  output reg [31:0] m0_axi_araddr, output [7:0] m0_axi_arlen, output [2:0] m0_axi_arsize,
  output [1:0] m0_axi_arburst, output m0_axi_arid, output m0_axi_arvalid, input m0_axi_arready,
  input [63:0] m0_axi_rdata, input [1:0] m0_axi_rresp, input m0_axi_rlast, input m0_axi_rid,
  input m0_axi_rvalid, output m0_axi_rready,
  output [31:0] m0_axi_awaddr, output [7:0] m0_axi_awlen, output [2:0] m0_axi_awsize,
  output [1:0] m0_axi_awburst, output m0_axi_awid, output reg m0_axi_awvalid, input m0_axi_awready,
  output [63:0] m0_axi_wdata, output [7:0] m0_axi_wstrb, output m0_axi_wlast, output m0_axi_wvalid,
  input m0_axi_wready, input [1:0] m0_axi_bresp, input m0_axi_bid, input m0_axi_bvalid, output m0_axi_bready,
  output reg [31:0] m1_axi_araddr, output [7:0] m1_axi_arlen, output [2:0] m1_axi_arsize,
  output [1:0] m1_axi_arburst, output m1_axi_arid, output reg m1_axi_arvalid, input m1_axi_arready,
  input [63:0] m1_axi_rdata, input [1:0] m1_axi_rresp, input m1_axi_rlast, input m1_axi_rid,
  input m1_axi_rvalid, output m1_axi_rready);

  reg [3:0] mode;
  reg [31:0] base, value, cycles;
  reg [11:0] address;
  reg have_address, have_value, busy, writing, flip, ar_wanted, read_pending, w_wanted;
  reg [2:0] left0, left1;
  reg [6:0] beats0, beats1;
  reg [4:0] sent;
  reg [63:0] sums [0:15];
  integer n;

  assign irq = 0;
  assign s_axil_bresp = 0, s_axil_rresp = 0;
  assign s_axil_awready = !have_address, s_axil_wready = !have_value, s_axil_arready = !read_pending;
  assign s_axil_rvalid = read_pending && mode != 7 || mode == 8;
  assign m0_axi_arlen = mode == 3 ? 16 : 15, m1_axi_arlen = 15, m0_axi_awlen = 15;
  assign m0_axi_arsize = mode == 5 ? 2 : 3, m1_axi_arsize = 3, m0_axi_awsize = 3;
  assign m0_axi_arburst = 1, m1_axi_arburst = 1, m0_axi_awburst = 1;
  assign m0_axi_arid = 0, m1_axi_arid = 0, m0_axi_awid = 0;
  assign m0_axi_arvalid = ar_wanted && !(mode == 1 && flip) && !(mode == 9 && m0_axi_rvalid);
  assign m0_axi_awaddr = base + 1024 + (mode == 2 && flip ? 128 : 0);
  assign m0_axi_wvalid = w_wanted;
  assign m0_axi_wdata = sums[sent[3:0]] ^ (mode == 10 && flip), m0_axi_wstrb = 8'hff;
  assign m0_axi_wlast = sent == 15 && mode != 6;
  assign m0_axi_rready = 1, m1_axi_rready = 1, m0_axi_bready = 1;

  always @(posedge clk)
    if (rst) begin
      {have_address, have_value, s_axil_bvalid, read_pending, busy, writing, flip} <= 0;
      {ar_wanted, m1_axi_arvalid, m0_axi_awvalid, w_wanted} <= 0;
      mode <= 0;
      sent <= 0;
      cycles <= 0;
    end else begin
      flip <= !flip;
      if (busy) cycles <= cycles + 1;
      if (s_axil_awvalid && s_axil_awready) begin have_address <= 1; address <= s_axil_awaddr; end
      if (s_axil_wvalid && s_axil_wready) begin have_value <= 1; value <= s_axil_wdata; end
      if (have_address && have_value && !s_axil_bvalid) begin
        s_axil_bvalid <= 1;
        if (address == 12'h40) mode <= value[3:0];
        if (address == 12'h44) base <= value;
        if (address == 12'h4c) begin
          busy <= 1;
          {left0, left1} <= {3'd4, 3'd4};
          sent <= 0;
          {beats0, beats1} <= {7'd64, 7'd64};
          m0_axi_araddr <= base + (mode == 4 ? 4096 - 64 : 0);
          m1_axi_araddr <= base + 512;
          {ar_wanted, m1_axi_arvalid} <= 2'b11;
          for (n = 0; n < 16; n = n + 1) sums[n] <= 0;
        end
      end
      if (s_axil_bvalid && s_axil_bready) {s_axil_bvalid, have_address, have_value} <= 0;
      if (s_axil_arvalid && s_axil_arready) begin
        read_pending <= 1;
        s_axil_rdata <= s_axil_araddr == 12'h24 ? busy : cycles;
      end
      if (s_axil_rvalid && s_axil_rready) read_pending <= 0;
      if (m0_axi_arvalid && m0_axi_arready) begin
        m0_axi_araddr <= m0_axi_araddr + 128;
        left0 <= left0 - 1;
        ar_wanted <= left0 != 1;
      end
      if (m1_axi_arvalid && m1_axi_arready) begin
        m1_axi_araddr <= m1_axi_araddr + 128;
        left1 <= left1 - 1;
        m1_axi_arvalid <= left1 != 1;
      end
      if (m0_axi_rvalid) beats0 <= beats0 - 1;
      if (m1_axi_rvalid) beats1 <= beats1 - 1;
      for (n = 0; n < 16; n = n + 1)
        if (busy && !writing)
          sums[n] <= sums[n] + (m0_axi_rvalid && n[3:0] == -beats0[3:0] ? m0_axi_rdata : 0)
                             + (m1_axi_rvalid && n[3:0] == -beats1[3:0] ? m1_axi_rdata : 0);
      if (busy && !writing && beats0 == 0 && beats1 == 0) {writing, m0_axi_awvalid, w_wanted} <= 3'b111;
      if (m0_axi_awvalid && m0_axi_awready) m0_axi_awvalid <= 0;
      if (m0_axi_wvalid && m0_axi_wready) begin
        sent <= sent + 1;
        w_wanted <= sent != 15;
      end
      if (m0_axi_bvalid) {busy, writing} <= 0;
    end
endmodule
