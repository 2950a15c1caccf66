// The sign-in: hands the token over for a cookie that scripts cannot read.
const form = document.getElementById('form');
const problem = document.getElementById('problem');
const field = document.getElementById('token');
const button = document.getElementById('go');

form.addEventListener('submit', async (event) => {
  event.preventDefault();
  button.disabled = true;
  problem.textContent = '';
  try {
    const answer = await fetch('ui/session', {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify({ token: field.value.trim() }),
    });
    if (answer.ok) {
      location.reload(); // keeps the screen that the address names
      return;
    }
    const said = await answer.json().catch(() => ({}));
    problem.textContent = answer.status === 401 ? 'That token is not good here.'
      : answer.status === 403 && said.error ? `${said.error}. ${said.hint}.` : `The server answered ${answer.status}.`;
  } catch {
    problem.textContent = 'The server does not answer.';
  }
  button.disabled = false;
  field.select();
});
