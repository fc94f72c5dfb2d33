import { element } from './element.ts';
import { recall, remember } from './stored.ts';

const key = 'theme';

/** Light or dark as the system is, until somebody chooses. */
export function setUpTheme(): void {
  const button = element('theme', HTMLButtonElement);
  const dark = matchMedia('(prefers-color-scheme: dark)');
  const { dataset } = document.documentElement;
  const chosen = recall(key);
  if (chosen === 'light' || chosen === 'dark') dataset.theme = chosen;
  const isDark = (): boolean => (dataset.theme === undefined ? dark.matches : dataset.theme === 'dark');
  const show = (): void => {
    button.ariaPressed = `${isDark()}`;
  };
  button.addEventListener('click', () => {
    dataset.theme = isDark() ? 'light' : 'dark';
    remember(key, dataset.theme);
    show();
  });
  dark.addEventListener('change', show);
  show();
}
