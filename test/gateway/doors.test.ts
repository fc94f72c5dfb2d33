import { beforeAll, describe, expect, test } from 'vitest';
import * as Y from 'yjs';
import type { Server } from '../../server/index.ts';
import { DOORS, type Door, type Visit, enter } from '../helpers/doors.ts';
import { type Editor, PROTOCOLS, joinAs, textOf, updateOf } from '../helpers/editor.ts';
import { type Person, encodeStates, history, joinPresence } from '../helpers/presence.ts';
import { type RawClient, rawHocuspocus } from '../helpers/raw-client.ts';
import { startServer } from '../helpers/server.ts';
import {
  type Claims,
  SECRET,
  type Signature,
  askAccess,
  inSeconds,
  mint,
  mintUnsigned,
} from '../helpers/tokens.ts';

const ISSUER = 'https://login.example';
const FOREIGN = { Origin: 'https://evil.example' };

/*
 * What becomes of everybody at every door.
 *
 *   upgrade      y-websocket, wherever the token stands (query, subprotocol, header): what the request is answered with
 *   page         y-websocket in a browser, which sees no status: what the socket is closed with as soon as it is open
 *   Auth frame   Hocuspocus, on a socket with another document: what the frame is answered with
 *   old step 2   a step 2 frame with nothing new; `step 2` and `update` have something new
 *   of another   what is said under the presence id that another user has introduced
 *   HTTP         GET /api/access/{name}
 *
 * `open > …` was open until it was ended so; the actions are tried after that. `ignored`: no answer, no effect on anybody.
 * Where the upgrade is refused there is no socket to try anything on.
 */
const TABLE = `
  credential             | upgrade                   | page                      | Auth frame                  | read | old step 2 | step 2  | update  | presence | of another | HTTP
  none                   | 401 unauthorized          | 4401 unauthorized         | denied unauthorized         | no   | ignored    | ignored | ignored | ignored  | ignored    | 401 unauthorized
  garbage                | 401 unauthorized          | 4401 unauthorized         | denied unauthorized         | no   | ignored    | ignored | ignored | ignored  | ignored    | 401 unauthorized
  wrong key              | 401 unauthorized          | 4401 unauthorized         | denied unauthorized         | no   | ignored    | ignored | ignored | ignored  | ignored    | 401 unauthorized
  alg none               | 401 unauthorized          | 4401 unauthorized         | denied unauthorized         | no   | ignored    | ignored | ignored | ignored  | ignored    | 401 unauthorized
  other algorithm        | 401 unauthorized          | 4401 unauthorized         | denied unauthorized         | no   | ignored    | ignored | ignored | ignored  | ignored    | 401 unauthorized
  for nobody             | 401 unauthorized          | 4401 unauthorized         | denied unauthorized         | no   | ignored    | ignored | ignored | ignored  | ignored    | 401 unauthorized
  without an end         | 401 unauthorized          | 4401 unauthorized         | denied unauthorized         | no   | ignored    | ignored | ignored | ignored  | ignored    | 401 unauthorized
  expired                | 401 token_expired         | 4401 token_expired        | denied token_expired        | no   | ignored    | ignored | ignored | ignored  | ignored    | 401 token_expired
  not yet valid          | 401 unauthorized          | 4401 unauthorized         | denied unauthorized         | no   | ignored    | ignored | ignored | ignored  | ignored    | 401 unauthorized
  issued in the future   | 401 unauthorized          | 4401 unauthorized         | denied unauthorized         | no   | ignored    | ignored | ignored | ignored  | ignored    | 401 unauthorized
  other issuer           | 401 unauthorized          | 4401 unauthorized         | denied unauthorized         | no   | ignored    | ignored | ignored | ignored  | ignored    | 401 unauthorized
  no issuer              | 401 unauthorized          | 4401 unauthorized         | denied unauthorized         | no   | ignored    | ignored | ignored | ignored  | ignored    | 401 unauthorized
  no document            | 403 forbidden             | 4403 forbidden            | denied forbidden            | no   | ignored    | ignored | ignored | ignored  | ignored    | 403 forbidden
  other document         | 403 forbidden             | 4403 forbidden            | denied forbidden            | no   | ignored    | ignored | ignored | ignored  | ignored    | 403 forbidden
  admin                  | 403 forbidden             | 4403 forbidden            | denied forbidden            | no   | ignored    | ignored | ignored | ignored  | ignored    | 403 forbidden
  read                   | open                      | open                      | open                        | yes  | acked      | nacked  | nacked  | seen     | ignored    | 200 read
  write                  | open                      | open                      | open                        | yes  | acked      | acked   | acked   | seen     | ignored    | 200 write
  admin with access      | open                      | open                      | open                        | yes  | acked      | nacked  | nacked  | seen     | ignored    | 200 read
  expired in mid-session | open > 4401 token_expired | open > 4401 token_expired | open > denied token_expired | no   | ignored    | ignored | ignored | ignored  | ignored    | 200 write
  revoked in mid-session | open > 4403 revoked       | open > 4403 revoked       | open > denied revoked       | no   | ignored    | ignored | ignored | ignored  | ignored    | 403 revoked
  foreign origin         | 403 forbidden_origin      | 403 forbidden_origin      | 403 forbidden_origin        | no   | ignored    | ignored | ignored | ignored  | ignored    | 403 forbidden_origin
`;

interface Credential {
  token: string | null;
  headers?: Record<string, string>;
  /** Ends the visit while it lasts. */
  end?: (visit: Visit) => Promise<unknown>;
}

/** What each row of the table brings to the doors. */
const CREDENTIALS: Record<string, (user: string) => Credential | Promise<Credential>> = {
  none: () => ({ token: null }),
  garbage: () => ({ token: 'garbage' }),
  'wrong key': (sub) => bearing({ sub }, { key: 'a key that is long enough, too, but is not the one' }),
  'alg none': (sub) => ({ token: mintUnsigned({ sub, iss: ISSUER }) }),
  'other algorithm': (sub) => bearing({ sub }, { alg: 'HS384' }),
  'for nobody': () => bearing({ sub: undefined }),
  'without an end': (sub) => bearing({ sub, exp: undefined }),
  expired: (sub) => bearing({ sub, exp: inSeconds(-120) }),
  'not yet valid': (sub) => bearing({ sub, nbf: inSeconds(120), exp: inSeconds(600) }),
  'issued in the future': (sub) => bearing({ sub, iat: inSeconds(120), exp: inSeconds(600) }),
  'other issuer': (sub) => bearing({ sub, iss: 'https://evil.example' }),
  'no issuer': (sub) => bearing({ sub, iss: undefined }),
  'no document': (sub) => bearing({ sub, access: undefined }),
  'other document': (sub) => bearing({ sub, access: { 'other/*': 'write' } }),
  admin: (sub) => bearing({ sub, admin: true, access: undefined }),
  read: (sub) => bearing({ sub, access: { 'doors/*': 'read' } }),
  write: (sub) => bearing({ sub, access: { 'doors/*': 'write' } }),
  'admin with access': (sub) => bearing({ sub, admin: true, access: { 'doors/*': 'read' } }),
  // It serves another minute for who comes back with it: clocks of issuer and server may differ by so much.
  'expired in mid-session': async (sub) => ({
    ...(await bearing({ sub, exp: inSeconds(3) })),
    end: (visit) => visit.end(),
  }),
  'revoked in mid-session': async (sub) => ({
    ...(await bearing({ sub })),
    end: () => server.revoke({ user: sub }),
  }),
  'foreign origin': async (sub) => ({ ...(await bearing({ sub })), headers: FOREIGN }),
};

const bearing = async (claims: Claims, signature?: Signature): Promise<Credential> => ({
  token: await mint({ iss: ISSUER, ...claims }, signature),
});

type Row = Record<string, string>;

const [HEAD = [], ...ROWS] = TABLE.trim()
  .split('\n')
  .map((line) => line.split('|').map((cell) => cell.trim()));
const rows = ROWS.map((cells): Row =>
  Object.fromEntries(HEAD.map((column, at) => [column, cells[at] ?? ''])),
);

let server: Server;
let url: string;
beforeAll(async () => {
  ({ server, url } = await startServer({ jwtSecret: SECRET, jwtIssuer: ISSUER }));
});

/** Of those who are in the document, and of the visitor. */
const OWNER_ID = 1;
const VISITOR_ID = 2;
const SAID_BY_OWNER = { said: 'by the owner', user: { id: 'owner' } };

interface Owner {
  editor: Editor;
  person: Person;
}

async function openAsOwner(document: string): Promise<Owner> {
  const token = await mint({ sub: 'owner', iss: ISSUER });
  const editor = await joinAs('hocuspocus', url, document, token);
  editor.type('secret');
  expect(await editor.ack()).toBe(true);
  const person = await joinPresence('hocuspocus', url, document, token);
  person.says(OWNER_ID, 1, { said: 'by the owner' });
  await person.sees((view) => OWNER_ID in view);
  return { editor, person };
}

/** Tries everything; what arrives from then on, and what the owner sees of it, is the outcome. */
async function attempt(client: RawClient, document: string, { editor, person }: Owner): Promise<Row> {
  const before = client.frames.length;
  const say = (id: number, clock: number) =>
    client.send(
      { type: 'awareness', update: encodeStates([{ id, clock, state: { said: 'by the visitor' } }]) },
      document,
    );
  client.send({ type: 'step1', stateVector: Y.encodeStateVector(new Y.Doc()) }, document);
  client.send({ type: 'step2', update: Y.encodeStateAsUpdate(editor.doc) }, document);
  client.send({ type: 'step2', update: updateOf('by step 2') }, document);
  client.send({ type: 'update', update: updateOf('by update') }, document);
  // As an introduction, and as a change.
  say(OWNER_ID, 10);
  say(VISITOR_ID, 1);
  say(OWNER_ID, 20);
  await client.settled();
  // What is committed after the visitor's edits: they are, too, then.
  editor.type('!');
  expect(await editor.ack()).toBe(true);
  await client.settled();
  await person.isHeardBy(person);

  const heard = client.frames.slice(before).filter(({ address = document }) => address === document);
  const text = textOf(await editor.ask());
  const acks = heard.flatMap((frame) => (frame.type === 'sync-status' ? [frame.saved] : []));
  const said = history(person, OWNER_ID);
  return {
    read: heard.some((frame) => frame.type !== 'denied' && frame.type !== 'close') ? readFrom(heard) : 'no',
    'old step 2': effect(acks[0], acks[0] === true),
    'step 2': effect(acks[1], text.includes('by step 2')),
    update: effect(acks[2], text.includes('by update')),
    presence: VISITOR_ID in person.view() ? 'seen' : 'ignored',
    'of another': JSON.stringify(said) === JSON.stringify([SAID_BY_OWNER]) ? 'ignored' : JSON.stringify(said),
  };
}

function readFrom(frames: RawClient['frames']): string {
  const doc = new Y.Doc();
  for (const frame of frames) if (frame.type === 'step2') Y.applyUpdate(doc, frame.update);
  return textOf(doc).includes('secret') ? 'yes' : `no, but ${frames.map(({ type }) => type).join(', ')}`;
}

/** An edit that is acked is there, and any other is not. */
function effect(ack: boolean | undefined, isThere: boolean): string {
  const word = ack === undefined ? 'ignored' : ack ? 'acked' : 'nacked';
  return isThere === (word === 'acked') ? word : `${word}, and yet ${isThere ? 'there' : 'lost'}`;
}

/** Which column says what becomes of those who come through a door. */
const COLUMNS: Record<Door, string> = {
  'y-websocket with ?token=': 'upgrade',
  'y-websocket with a subprotocol': 'upgrade',
  'y-websocket with Authorization': 'upgrade',
  'y-websocket from a page': 'page',
  'Hocuspocus with an Auth frame': 'Auth frame',
};

const ACTIONS = ['read', 'old step 2', 'step 2', 'update', 'presence', 'of another'];

test('[K1] the table says something about every credential', () => {
  expect(rows.map(({ credential }) => credential)).toEqual(Object.keys(CREDENTIALS));
  expect(HEAD).toEqual(['credential', 'upgrade', 'page', 'Auth frame', ...ACTIONS, 'HTTP']);
});

describe.each(DOORS)('%s', (door: Door) => {
  const column = COLUMNS[door];

  test.each(rows)('[K1] $credential', async (row) => {
    const { credential = '' } = row;
    const document = `doors/${credential} by ${door.replaceAll(/\W/g, ' ')}`;
    const owner = await openAsOwner(document);
    const { token, headers, end } = (await CREDENTIALS[credential]?.(document)) ?? { token: null };
    const goodToken = await mint({ iss: ISSUER });
    const visit = await enter(door, url, { document, token, goodToken, ...(headers && { headers }) });
    const ending = end && visit.end();
    await end?.(visit);
    const outcomes = visit.client ? await attempt(visit.client, document, owner) : {};
    expect({
      ...row,
      [column]: ending ? `${visit.outcome} > ${await ending}` : visit.outcome,
      ...outcomes,
      HTTP: await askAccess(url, document, token, headers),
    }).toEqual(row);
  });
});

test.each(PROTOCOLS)('[G5] without a key tokens are ignored, over %s', async (protocol) => {
  const { url: open } = await startServer();
  for (const token of [undefined, 'garbage', await mint({ access: undefined })]) {
    const editor = await joinAs(protocol, open, 'notes/today', token);
    editor.type('hello');
    expect(await editor.ack()).toBe(true);
  }
});

test('[G5] a Hocuspocus client is told whether it may write', async () => {
  const client = await rawHocuspocus(url);
  const scopes = [];
  for (const level of ['read', 'write']) {
    client.send({ type: 'token', token: await mint({ iss: ISSUER, access: { [level]: level } }) }, level);
    scopes.push((await client.next('authenticated')).scope);
  }
  expect(scopes).toEqual(['readonly', 'read-write']);
});
