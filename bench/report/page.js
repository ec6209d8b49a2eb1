// The start, after all other parts have been read.

document.addEventListener("click", (event) => {
  const heading = event.target.closest(".sortable thead th");
  if (heading && event.target.closest("button")) sortBy(heading);
});
document.addEventListener("toggle", ({ target }) => {
  if (target.matches(".run[open]") && !find(".body", target) && !target.dataset.opening) {
    target.dataset.opening = "yes";
    openRun(target).catch((error) => target.append(make("p", { class: "warning" }, `This run cannot be shown: ${error.message}`)));
  }
}, true);
for (const event of ["input", "change"]) form.addEventListener(event, applyFilters);
form.addEventListener("submit", (event) => event.preventDefault());
form.addEventListener("reset", () => setTimeout(applyFilters));
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => drawn.forEach((again) => again()));
all(".board").forEach(linkSeeds);
setUpContests();
applyFilters();
