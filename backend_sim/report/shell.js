"use strict";
// What every page does first: unpack what came compressed.

async function unpackedText(source) {
  const bytes = Uint8Array.from(atob(source.textContent), function (letter) {
    return letter.charCodeAt(0);
  });
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream).text();
}

function unpacked(identifier) { return unpackedText(document.getElementById(identifier)); }

// What stands packed in a folded section takes its place there when it is first opened.
async function unfold(details) {
  const source = details.querySelector(":scope > script.packed");
  if (!source || source.dataset.opened) { return; }
  source.dataset.opened = "yes";
  const content = document.createElement("div");
  content.innerHTML = await unpackedText(source);
  source.replaceWith(content);
}

// Plotly's script runs once it is unpacked.
async function loadPlotly() {
  const script = document.createElement("script");
  script.textContent = await unpacked("plotly");
  document.head.append(script);
}
