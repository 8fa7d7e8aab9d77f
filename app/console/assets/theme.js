// Before the first paint: the theme that the reader chose, if it is not the system's.
try {
  const theme = localStorage.getItem("outcrop-theme");
  if (theme === "dark" || theme === "light") document.documentElement.dataset.theme = theme;
} catch {
  // storage is disabled: the system's theme holds
}
