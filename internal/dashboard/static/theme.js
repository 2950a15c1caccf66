// Runs before the first paint, so that nobody in the dark is flashed at.
try {
  const chosen = localStorage.getItem('sluice.theme');
  if (chosen === 'light' || chosen === 'dark') document.documentElement.dataset.theme = chosen;
} catch { /* storage may be forbidden; then the system decides */ }
