"use strict";
// What every page does first: unpack what came compressed.

async function unpacked(identifier) {
  const bytes = Uint8Array.from(atob(document.getElementById(identifier).textContent), function (letter) {
    return letter.charCodeAt(0);
  });
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream).text();
}

// Plotly's script runs once it is unpacked.
async function loadPlotly() {
  const script = document.createElement("script");
  script.textContent = await unpacked("plotly");
  document.head.append(script);
}
