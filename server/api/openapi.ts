import { html } from 'hono/html';
import { PROBLEM, TOKEN, problemAnswer, type DescribedApp } from './described.ts';
import { problem } from './schemas.ts';

const INFO = {
  openapi: '3.1.0',
  info: {
    title: 'Indelible',
    version: '1',
    description:
      'Documents for programs. A token goes into the Authorization header, as `Bearer …`, and allows what it allows on a socket. ' +
      'What is answered with success is committed.',
  },
};
const STYLE = `:root{color-scheme:light dark;font:16px/1.5 system-ui,sans-serif}
body{max-width:60rem;margin:2rem auto;padding:0 1rem}
code,pre{font:.875rem/1.4 ui-monospace,monospace}
pre{overflow:auto;padding:1rem;border:1px solid color-mix(in srgb,currentColor 20%,transparent);border-radius:.5rem}
h2{margin:2.5rem 0 .25rem;font-size:1rem}
h2 code{font-weight:700;font-size:1rem}
dl{display:grid;grid-template-columns:max-content 1fr;gap:.25rem 1.5rem;margin:.5rem 0}
dd{margin:0}
@media(max-width:40rem){dl{display:block}dd{margin:0 0 .5rem 1rem}}
`;
/** Nothing but its own style sheet. */
const CONTENT_SECURITY_POLICY =
  "default-src 'none'; style-src 'self'; base-uri 'none'; frame-ancestors 'none'";

interface Operation {
  readonly summary?: string;
  readonly parameters?: readonly {
    name: string;
    in: string;
    description?: string;
    schema?: { description?: string; enum?: readonly string[] };
  }[];
  readonly requestBody?: {
    readonly content: Record<string, { schema?: { $ref?: string; description?: string } }>;
  };
  readonly responses: Record<
    string,
    { readonly description?: string; readonly content?: Record<string, unknown> }
  >;
}

interface Document {
  readonly paths: Record<string, Record<string, Operation>>;
  readonly components: { readonly schemas: Record<string, unknown> };
}

/** `GET /api/openapi.json`, and a page of it at `/api`. */
export function openapiRoutes(app: DescribedApp): void {
  app.openAPIRegistry.registerComponent('securitySchemes', TOKEN, { type: 'http', scheme: 'bearer' });
  app.openAPIRegistry.register(PROBLEM, problem);
  app.openAPIRegistry.registerComponent('responses', PROBLEM, problemAnswer);
  const document = app.getOpenAPI31Document(INFO);
  const page = pageOf(document as unknown as Document);
  app.get('/api/openapi.json', (context) => context.json(document));
  app.get('/api/style.css', (context) => context.body(STYLE, 200, { 'Content-Type': 'text/css' }));
  app.get('/api', (context) => {
    context.header('Content-Security-Policy', CONTENT_SECURITY_POLICY);
    return context.html(page);
  });
}

function pageOf({ paths, components }: Document) {
  const operations = Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) =>
      operationOf(`${method.toUpperCase()} ${path}`, operation),
    ),
  );
  const schemas = Object.entries(components.schemas).map(
    ([name, schema]) =>
      html`<details id="${name}">
        <summary><code>${name}</code></summary>
        <pre>${JSON.stringify(schema, null, 2)}</pre>
      </details>`,
  );
  return html`<!doctype html>
    <html lang="en">
      <meta charset="utf-8" />
      <meta name="viewport" content="width=device-width" />
      <title>API of Indelible</title>
      <link rel="stylesheet" href="/api/style.css" />
      <h1>API</h1>
      <p>${INFO.info.description}</p>
      <p>
        For programs: <a href="/api/openapi.json">openapi.json</a>. Errors are
        <code>application/problem+json</code> with a <code>code</code>, which the README lists.
      </p>
      ${operations}
      <h2>Schemas</h2>
      ${schemas}
    </html>`;
}

function operationOf(title: string, { summary = '', parameters = [], requestBody, responses }: Operation) {
  const given = parameters.map(
    ({ name, in: where, description, schema }) =>
      html`<dt><code>${name}</code> (${where})</dt>
        <dd>${description ?? schema?.description ?? schema?.enum?.join(', ') ?? ''}</dd>`,
  );
  const bodies = Object.entries(requestBody?.content ?? {}).map(([type, { schema }]) => {
    const name = schema?.$ref?.split('/').at(-1);
    return html`<dt>Body: <code>${type}</code></dt>
      <dd>${name === undefined ? (schema?.description ?? '') : html`<a href="#${name}">${name}</a>`}</dd>`;
  });
  // What every route may answer stands at the top.
  const own = Object.entries(responses).filter(([, { description }]) => description !== undefined);
  const answers = own.map(
    ([status, { description, content = {} }]) =>
      html`<dt>${status}</dt>
        <dd>${description} ${Object.keys(content).map((type) => html`<code>${type}</code> `)}</dd>`,
  );
  return html`<h2><code>${title}</code></h2>
    <p>${summary}</p>
    <dl>${given}${bodies}${answers}</dl>`;
}
