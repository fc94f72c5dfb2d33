import { Validator } from '@seriousme/openapi-schema-validator';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { beforeAll, describe, expect, test } from 'vitest';
import { ask, at, patch, type Asked } from '../helpers/api.ts';
import { connectYWebsocket } from '../helpers/clients.ts';
import { updateOf } from '../helpers/editor.ts';
import { startServer } from '../helpers/server.ts';
import { SECRET, mint } from '../helpers/tokens.ts';

interface Answer {
  $ref?: string;
  content?: Record<string, { schema: object }>;
}

interface Description {
  paths: Record<string, Record<string, { responses: Record<string, Answer> }>>;
  components: { responses: Record<string, Answer> };
}

const NAME = 'notes/today';

const isSuccess = (which: string) => /^\S+ \S+ [23]/.test(which);

describe('[U12] the description', () => {
  let url: string;
  let token: string;
  let description: Description;
  const ajv = new Ajv2020({ strict: false, validateFormats: false });
  beforeAll(async () => {
    url = (await startServer({ jwtSecret: SECRET, limitFrameBytes: 10_000 })).url;
    token = await mint({ access: { '**': 'admin' } });
    description = (await ask(url, '/openapi.json')).json as Description;
  });

  /** What is said of answers, in the order of `compare`. */
  const said = () =>
    Object.entries(description.paths).flatMap(([route, methods]) =>
      Object.entries(methods).flatMap(([method, { responses }]) =>
        Object.entries(responses).flatMap(([status, { content }]) =>
          Object.keys(content ?? { '': null }).map((media) => `${method} ${route} ${status} ${media}`),
        ),
      ),
    );

  /** Asks, and compares the answer with what is said of it. @returns which one it is */
  async function compare(path: string, asked: Asked = {}): Promise<string> {
    const method = (asked.method ?? 'GET').toLowerCase();
    const route = `/api${path.replace(/[?].*/, '').replace(/^[/](documents|access)[/][^/]+/, '/$1/{name}')}`;
    const { status, headers, text, json } = await ask(url, path, { token, ...asked });
    const [media = ''] = text === '' ? [] : (headers.get('content-type') ?? '').split(';', 1);
    const answer = description.paths[route]?.[method]?.responses[status];
    const name = answer?.$ref?.split('/').at(-1);
    const content = (name === undefined ? answer : description.components.responses[name])?.content;
    const which = `${method} ${route} ${status} ${media}`;
    expect(Object.keys(content ?? { '': null }), which).toContain(media);
    const schema = { ...content?.[media]?.schema, components: description.components };
    const problems = ajv.validate(schema, json ?? text) ? null : ajv.errorsText();
    expect(problems, `${which} ${text}`).toBeNull();
    return which;
  }

  test('[U12] is valid OpenAPI', async () => {
    expect(await new Validator().validate({ ...description })).toEqual({ valid: true });
  });

  test('[U12] says what is answered, and all of what it says of success is answered', async () => {
    const alice = connectYWebsocket(url, NAME, { token });
    await alice.synced();
    const body = { content: 'text', list: [1, 'two', null], map: { a: { b: [] } } };
    const post = (path: string, given?: object) => compare(path, { method: 'POST', body: given });
    const append = patch({ op: 'append', text: 'x' });
    const answers = [
      await post(at('new'), body),
      await post(at('new'), body),
      await post(at(NAME), body),
      await compare('/documents'),
      await compare('/documents?limit=1'),
      await compare('/documents?limit=0'),
      await compare(at(NAME)),
      await compare(at(NAME, '?root=list')),
      await compare(at(NAME, '?root=nothing')),
      await compare(at(NAME, '?format=text')),
      await compare(at(NAME, '?format=yjs')),
      await compare(at(NAME), { headers: { 'If-None-Match': '*' } }),
      await compare(at(NAME, '/connections')),
      await compare(at(NAME, '/statistics')),
      await compare(`/access/${encodeURIComponent(NAME)}`),
      await compare(at(NAME), append),
      await compare(at(NAME), { method: 'PATCH', body: updateOf('x') }),
      await compare(at(NAME), { ...append, headers: { 'If-Match': '"x"' } }),
      await compare(at(NAME), patch({ op: 'push', values: [1] })),
      await compare(at(NAME), patch({ op: 'insert', at: 99, text: 'x' })),
      await compare(at(NAME), patch({ op: 'append', text: 'x'.repeat(20_000) })),
      await compare(at(NAME), { ...append, headers: { 'Content-Type': 'text/plain' } }),
      await compare(at('nowhere'), append),
      await post(at(NAME, '/duplicate'), { to: 'notes/copy' }),
      await post(at('notes/copy', '/rename'), { to: 'notes/moved' }),
      await compare(at('notes/moved'), { method: 'DELETE' }),
      await compare(at('notes/moved')),
      await post(at('notes/moved', '/restore')),
      await post(at('notes/moved', '/erase')),
      await post('/revocations', { user: 'mallory' }),
    ];
    expect(new Set(answers.filter(isSuccess))).toEqual(new Set(said().filter(isSuccess)));
  });

  test('[U12] says of every route that it may refuse', async () => {
    const refusing = await mint({ access: {} });
    for (const which of said().filter((each) => each.includes(' default '))) {
      const [method = '', route = ''] = which.split(' ');
      const path = route.slice('/api'.length).replace('{name}', encodeURIComponent(NAME));
      await compare(path, { method: method.toUpperCase(), token: undefined });
      if (route !== '/api/documents') await compare(path, { method: method.toUpperCase(), token: refusing });
      const statuses = Object.keys(description.paths[route]?.[method]?.responses ?? {});
      const late = method === 'get' ? [] : ['504'];
      expect(statuses, which).toEqual(expect.arrayContaining(['429', '503', ...late]));
    }
  });
});
