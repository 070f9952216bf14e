"use strict";
// A box that has nothing to scroll is no stop for the Tab key.
function fit() {
  for (const box of document.querySelectorAll(".scroll")) {
    if (box.scrollWidth > box.clientWidth + 1) box.setAttribute("tabindex", "0");
    else box.removeAttribute("tabindex");
  }
}
addEventListener("resize", fit);
fit();
