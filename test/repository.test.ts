import { homedir } from 'node:os';
import { describe, expect, test } from 'vitest';
import { layerOffences } from './helpers/layers.ts';
import { repositoryFiles } from './helpers/repository.ts';
import { readSource } from './helpers/source.ts';

const RULE_ID = /^\[([A-Z]+\d+[a-z]?)\] ./;
const RULE_LINE = /^- \*\*\[([A-Z]+\d+[a-z]?)\]\*\* \S/gm;

function sources(folder: string): Map<string, string> {
  return new Map(
    [...repositoryFiles(folder)].filter(([path]) => path.endsWith('.ts') && !path.endsWith('.d.ts')),
  );
}

function offencesOf(...files: Array<[path: string, text: string]>): string[] {
  return layerOffences(new Map(files));
}

test('[T10] imports under server/ run downward only, without cycles, each module where it may be', () => {
  expect(layerOffences(sources('server'))).toEqual([]);
});

describe('the check of the layers', () => {
  test.each([
    ['upward', 'storage/a.ts', "import { hub } from '../documents/hub.ts'", 'lies above'],
    ['upward, a type', 'storage/a.ts', "import type { Hub } from '../documents/hub.ts'", 'lies above'],
    ['upward, a type within a type', 'config.ts', "let a: import('./server.ts').Server", 'lies above'],
    ['upward, a re-export', 'auth/a.ts', "export * from '../gateway/http.ts'", 'lies above'],
    ['upward, at run time', 'auth/a.ts', 'const a = await import(`../api/routes.ts`)', 'lies above'],
    ['upward, a worker', 'auth/a.ts', "new Worker(new URL('../api/b.ts', import.meta.url))", 'lies above'],
    ['sideways, folders', 'auth/a.ts', "import '../protocol/wire.ts'", 'its sibling'],
    ['sideways, files', 'log.ts', "import './config.ts'", 'its sibling'],
    ['sideways, from server to index', 'server.ts', "import './index.ts'", 'its sibling'],
    ['outside', 'auth/a.ts', "import '../../test/helpers/ports.ts'", 'outside of server/'],
    ['a file without a place', 'hub.ts', '', 'no place'],
    [
      'Hocuspocus elsewhere',
      'gateway/a.ts',
      "import type { Hocuspocus } from '@hocuspocus/server'",
      'only documents',
    ],
    ['Node elsewhere', 'documents/a.ts', "import { readFile } from 'node:fs/promises'", 'only main.ts'],
    ['Node elsewhere, without its prefix', 'documents/a.ts', "import fs from 'fs'", 'only main.ts'],
    ['process.env elsewhere', 'auth/a.ts', 'const key = process.env.KEY', 'process.env'],
    ['process.exit elsewhere', 'auth/a.ts', "globalThis.process['exit'](1)", 'process.exit'],
    ['process.argv elsewhere', 'auth/a.ts', 'const { argv } = process', 'process.argv'],
    ['a circle of one', 'auth/a.ts', "import './a.ts'", 'auth/a.ts -> auth/a.ts'],
  ])('[T11] catches an import that goes wrong: %s', (_case, path, text, reason) => {
    expect(offencesOf([path, text])).toEqual([expect.stringContaining(reason)]);
  });

  test('[T12] catches a cycle within a folder, made of types too', () => {
    expect(
      offencesOf(
        ['auth/a.ts', "import type { B } from './b.ts'"],
        ['auth/b.ts', "import { c } from './deep/c.ts'"],
        ['auth/deep/c.ts', "export { a } from '../a.ts'"],
      ),
    ).toEqual(['imports go in a circle: auth/a.ts -> auth/b.ts -> auth/deep/c.ts -> auth/a.ts']);
  });

  test('[T13] lets pass what is allowed', () => {
    expect(
      offencesOf(
        [
          'main.ts',
          "import './config.ts'; import './server.ts'; import 'node:util'; process.exit(process.argv.length)",
        ],
        ['index.ts', "export * from './server.ts'; export type * from './documents/hub.ts'"],
        [
          'documents/hub.ts',
          "import '@hocuspocus/server'; import '../storage/log.ts'; import './acks.ts'; import 'yjs'",
        ],
        [
          'documents/acks.ts',
          "// import '../server.ts'\nconst text = \"import '../server.ts'\"; process.hrtime()",
        ],
        ['storage/log.ts', "import { open } from 'node:fs/promises'; import '../errors.ts'"],
        ['config.ts', "import manifest from '../package.json' with { type: 'json' }; process.env.PORT"],
      ),
    ).toEqual([]);
  });
});

test('[T14] no file holds a path of a machine, an address of a package registry, or a token', () => {
  // Places where people and build machines keep their work, unless they are the tail of an address or another path.
  const machinePath = /(?<![\w.~-])(?:\/(?:work|root)\/\w|\/(?:home|Users)\/\w+\/|[A-Z]:\\Users\\)/;
  const registry = /"resolved":|registry\.npmjs\.org|registry\.yarnpkg\.com/;
  const token = /_authToken|npm_[A-Za-z0-9]{36}|gh[pousr]_[A-Za-z0-9]{36}|-----BEGIN [A-Z ]*PRIVATE KEY/;
  const here = [process.cwd(), homedir()].filter((path) => path.length > 1);
  const offences = [...repositoryFiles()].flatMap(([path, text]) =>
    text.split('\n').flatMap((line, index) => {
      const offends = [machinePath, registry, token].some((pattern) => pattern.test(line));
      return offends || here.some((place) => line.includes(`${place}/`))
        ? [`${path}:${index + 1}: ${line}`]
        : [];
    }),
  );
  // This file spells the patterns.
  expect(offences.filter((offence) => !offence.startsWith('test/repository.test.ts:'))).toEqual([]);
});

describe('the rules', () => {
  const titles = [...sources('test')].flatMap(([path, text]) =>
    readSource(path, text).titles.map((title) => ({ path, title })),
  );
  const spec = repositoryFiles('test').get('SPEC.md');
  const rules = Array.from((spec ?? '').matchAll(RULE_LINE), (match) => match[1] ?? '');

  test('[T15] every test is titled by the rule of test/SPEC.md that it tests', () => {
    expect(spec, 'test/SPEC.md, with a line `- **[D1]** text` for every rule').toBeDefined();
    const offences = titles.flatMap(({ path, title }) => {
      const id = title?.match(RULE_ID)?.[1];
      if (id === undefined) return [`${path}: a title without a rule: ${title ?? 'not written out'}`];
      return rules.includes(id) ? [] : [`${path}: ${id} is not in SPEC.md: ${title}`];
    });
    expect(offences).toEqual([]);
  });

  test('[T16] every rule of test/SPEC.md has a test and an id of its own', () => {
    expect(rules, 'rules in test/SPEC.md').not.toEqual([]);
    const tested = new Set(titles.map(({ title }) => title?.match(RULE_ID)?.[1]));
    expect(rules.filter((rule) => !tested.has(rule)).map((rule) => `${rule} has no test`)).toEqual([]);
    expect(rules.filter((rule, index) => rules.indexOf(rule) !== index)).toEqual([]);
  });

  test('[T17] titles are found however a test is declared', () => {
    const text = [
      "test('[A1] a', f); it.skip('[A2] b', f); test.each([1])('[A3] %s', f); test.skipIf(x).concurrent('[A4]', f);",
      "test.for`a`('[A5] t', f); test(`[A6] ${x}`, f); test(title, f); /x/.test('no'); describe('no', f); test.each([1]);",
    ].join('\n');
    const expected = ['[A1] a', '[A2] b', '[A3] %s', '[A4]', '[A5] t', '[A6] ', undefined];
    expect(readSource('a.ts', text).titles).toEqual(expected);
  });
});
