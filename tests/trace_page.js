// Runs the script of a page of `cpt trace` on a document that only keeps what it is given: node FILE.js PAGE.html
"use strict";
const fs = require("fs");
const page = fs.readFileSync(process.argv[2], "utf8");
const elements = {};
let drawn = 0;

function element() {
  return {
    style: {}, children: [], listeners: {}, clientWidth: 1246, offsetWidth: 200, offsetHeight: 80, text: "",
    set textContent(value) { this.text = value; this.children = []; },
    get textContent() { return this.text; },
    append(...more) { this.children.push(...more); },
    replaceChildren(...more) { this.children = more; },
    insertRow() { const row = element(); this.children.push(row); return row; },
    addEventListener(kind, call) { this.listeners[kind] = call; },
    setAttribute() {},
    setPointerCapture() {},
    getBoundingClientRect: () => ({left: 0, top: 0}),
    getContext: () => new Proxy({}, {get: (pen, name) => name in pen ? pen[name] : () => { drawn += name === "fillRect"; }}),
  };
}
global.document = {
  getElementById: id => elements[id] || (elements[id] = element()),
  createElement: element,
  querySelectorAll: () => elements.lists.children,
};
global.window = {devicePixelRatio: 1, innerWidth: 1280, innerHeight: 900, addEventListener() {}};

document.getElementById("data").textContent = page.match(/id="data">([\s\S]*?)<\/script>/)[1];
const view = new Function(page.match(/<script>\n([\s\S]*?)<\/script>/)[1] + "\nreturn () => [from, to];")();
const canvas = elements.lanes, hover = [], event = more => ({preventDefault() {}, ...more});
for (let i = 0; i < 9; i++) canvas.listeners.wheel(event({deltaY: -1, clientX: 600}));
const zoomed = view();
for (let y = 30; y < 350; y += 9) {
  for (let x = 100; x < 1200; x += 50) {
    canvas.listeners.pointermove({clientX: x, clientY: y});
    hover.push(elements.hover.textContent);
  }
}
canvas.listeners.keydown(event({key: "0"}));
console.log(JSON.stringify({
  title: elements.title.textContent,
  table: elements.sums.children.map(row => row.children.map(cell => cell.textContent)),
  whole: view(), zoomed, drawn, hover,
}));
