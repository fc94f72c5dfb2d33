import { expect, test } from 'vitest';
import { describeSettings } from '../server/config.ts';
import { describeErrors } from '../server/errors.ts';
import { markdownTable, pasteInto, readmeBlock } from './helpers/readme.ts';

const code = (text: string) => (text === '' ? '' : `\`${text}\``);

test("[C2] the README's table of settings is the one in the code", async () => {
  const table = await markdownTable(
    ['Variable', 'Option', 'Default', 'What it does'],
    describeSettings().map(({ env, option, fallback, help }) => [
      code(env),
      code(option),
      code(fallback),
      help,
    ]),
  );
  expect(readmeBlock('settings'), pasteInto('settings', table)).toBe(table);
});

test("[C6] the README's table of errors is the one in the code", async () => {
  const table = await markdownTable(
    ['Code', 'HTTP', 'WebSocket', 'What it says'],
    describeErrors().map((error) => [code(error.code), `${error.status}`, `${error.closeCode}`, error.text]),
  );
  expect(readmeBlock('errors'), pasteInto('errors', table)).toBe(table);
});
