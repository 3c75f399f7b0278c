document.querySelector("button").onclick = () => location.reload();
addEventListener("online", () => location.reload());
