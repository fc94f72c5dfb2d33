#!/usr/bin/env node
import { parseArgs } from 'node:util';
import { ACCESS, type AccessLevel } from './auth/grant.ts';
import { mintToken } from './auth/tokens.ts';
import { describeSettings, resolveSettings, settingsFromEnvironment } from './config.ts';
import { consequenceOf, inspect, type Inspection } from './documents/inspection.ts';
import { IndelibleError, messageOf } from './errors.ts';
import { createLog, type Log } from './log.ts';
import { answerForAll } from './metrics.ts';
import { createServer, type Server } from './server.ts';
import { openDatabase, type Database } from './storage/database.ts';
import { markRow, readRows, type DocumentRows, type LogRow } from './storage/document-rows.ts';
import { migrate, requireSchema } from './storage/migrate.ts';
import { isWorker, WorkerProcess, Workers } from './workers.ts';

/** Exit codes: 1 when something was not done, 2 when the command line or the settings are wrong. */
const FAILED = 1;
const MISUSED = 2;

/**
 * One Ctrl-C can arrive twice: from the terminal, and once more from npm (seen where `sh` is bash, within 2 ms).
 */
const SAME_PRESS_MS = 250;

/** A hundred years. */
const MAX_HOURS = 876_000;
/** Below the largest `bigint` of Postgres. */
const ROW_ID = /^[1-9]\d{0,17}$/;
/** What would break the table, or steer the terminal of whoever reads it. */
const UNPRINTABLE = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu;
const HELP_FLAGS = new Set(['--help', '-h']);

/** The command line is wrong. */
class Misuse extends Error {}

const commands: Record<string, { help: string; run: (args: string[]) => Promise<void> }> = {
  serve: { help: 'start the server', run: serve },
  migrate: { help: 'bring the schema of the database up to date, and stop', run: runMigrate },
  token: {
    help: 'mint a token: --sub alice [--name Alice] [--access "notes/*=write"]… [--hours 24]',
    run: token,
  },
  inspect: {
    help: 'list what is stored of a document, with authors and what is wrong: inspect notes/today',
    run: runInspect,
  },
  quarantine: {
    help: 'take a row out of its document: quarantine 12 [--force]; and back: quarantine --undo 12',
    run: quarantine,
  },
  help: { help: 'show this page', run: help },
};

const options = settingsFromEnvironment(process.env);
const words = process.argv.slice(2);
const [name = 'help', ...args] = words.some((word) => HELP_FLAGS.has(word)) ? [] : words;
const command = Object.hasOwn(commands, name) ? commands[name] : undefined;
try {
  if (command === undefined) throw new Misuse(`there is no command '${name}'; try 'indelible help'`);
  await command.run(args);
} catch (error) {
  print(process.stderr, `indelible: ${messageOf(error)}`);
  process.exitCode = isMisuse(error) ? MISUSED : FAILED;
  // The line to the one that has started it would keep it alive.
  if (isWorker()) process.exit();
}

function isMisuse(error: unknown): boolean {
  return error instanceof Misuse || (error instanceof IndelibleError && error.code === 'bad_settings');
}

async function serve(rest: string[]): Promise<void> {
  takesNone(rest);
  const { workers, logLevel } = resolveSettings(options);
  if (isWorker()) await serveAsWorker();
  else if (workers > 1) await serveWithWorkers(workers, createLog(logLevel));
  else {
    const { stop, start } = stoppable();
    // From the start: as process 1 of a container, a process without handlers ignores signals.
    onStop(stop);
    sayThatItIsReady(await start());
  }
}

async function serveWithWorkers(count: number, log: Log): Promise<void> {
  const workers = new Workers(count, log);
  onStop(() => workers.stop());
  try {
    // Those that are stopped while they start never say that they are ready.
    const url = await Promise.race([workers.ready, workers.ended.then(() => null)]);
    if (url !== null) sayThatItIsReady(url);
  } finally {
    process.exitCode = await workers.ended;
  }
}

async function serveAsWorker(): Promise<void> {
  const { stop, start } = stoppable();
  const worker = new WorkerProcess(stop);
  // A terminal sends its signals to all processes, and so may who supervises them; who has started this one tells it what to do.
  process.on('SIGINT', () => {}).on('SIGTERM', () => {});
  answerForAll(() => worker.metrics());
  worker.ready(await start());
}

/** A server that may be told to stop while it is still starting; and again, to stop at once. */
function stoppable(): { stop: () => void; start: () => Promise<string> } {
  const force = new AbortController();
  let server: Server | undefined;
  let isStopping = false;
  return {
    stop: () => {
      if (server === undefined) process.exit(0);
      if (isStopping) force.abort();
      else void finish(server.close(force.signal));
      isStopping = true;
    },
    start: async () => {
      server = await createServer(options);
      return (await listen(server)).url;
    },
  };
}

function sayThatItIsReady(url: string): void {
  const shown = url.replace(/\/\/(127\.0\.0\.1|0\.0\.0\.0|\[::\]):/, '//localhost:');
  print(process.stdout, `\n  Indelible is ready: open ${shown}/ in two tabs and type.\n`);
}

async function listen(server: Server): Promise<{ url: string }> {
  try {
    return await server.listen();
  } catch (error) {
    // An open database would keep the process alive.
    await server.close();
    throw error;
  }
}

/** Calls `stop` at every SIGTERM and SIGINT. */
function onStop(stop: () => void): void {
  let firstAt: number | undefined;
  const handle = (signal: NodeJS.Signals) => {
    const isFirst = firstAt === undefined;
    const now = performance.now();
    firstAt ??= now;
    if (isFirst || signal !== 'SIGINT' || now - firstAt > SAME_PRESS_MS) stop();
  };
  process.on('SIGTERM', handle).on('SIGINT', handle);
}

async function finish(closing: ReturnType<Server['close']>): Promise<void> {
  try {
    const { unwritten } = await closing;
    if (unwritten.length === 0) process.exit(0);
    print(
      process.stderr,
      `indelible: edits were not committed, nor acknowledged, in: ${unwritten.join(', ')}`,
    );
  } catch (error) {
    print(process.stderr, `indelible: ${messageOf(error)}`);
  }
  process.exit(FAILED);
}

async function runMigrate(rest: string[]): Promise<void> {
  takesNone(rest);
  const applied = await withDatabase(migrate);
  print(process.stdout, applied.length === 0 ? 'up to date' : `applied: ${applied.join(', ')}`);
}

/** For commands that work on what is stored, and bring no schema about. */
function withDocuments<T>(work: (queries: Database['queries']) => Promise<T>): Promise<T> {
  return withDatabase(async (database) => {
    await requireSchema(database);
    return work(database.queries);
  });
}

async function withDatabase<T>(work: (database: Database, log: Log) => Promise<T>): Promise<T> {
  const { databaseUrl: url, dataDir, limitDatabaseConnections: connections } = resolveSettings(options);
  // Standard output is for the answer.
  const log = createLog('warn', process.stderr);
  const database = await openDatabase({ url, dataDir, connections, log });
  try {
    return await work(database, log);
  } finally {
    await database.close();
  }
}

async function runInspect(rest: string[]): Promise<void> {
  const [document] = rest;
  if (document === undefined || rest.length > 1) throw new Misuse("'inspect' takes the name of a document");
  const { limitUpdateStructs: structs, limitUpdateClients: clients } = resolveSettings(options);
  const stored = await withDocuments((queries) =>
    queries.use((connection) => readRows(connection, document)),
  );
  if (stored === null) throw new Error(`there is no document '${document}'`);
  print(process.stdout, describe(stored, inspect(stored, { structs, clients })));
}

function describe({ snapshot }: DocumentRows, found: Inspection): string {
  const rows = found.log.map(({ row: { id, author, time, update }, verdict }) => [
    id,
    author ?? '-',
    time.toISOString(),
    `${update.byteLength}`,
    verdict,
  ]);
  const head =
    snapshot === null
      ? 'none'
      : `${snapshot.update.byteLength} bytes, written ${snapshot.time.toISOString()}, ${found.snapshot}`;
  const lines = [
    `snapshot: ${head}`,
    ...alignColumns([['row', 'author', 'time', 'bytes', 'verdict'], ...rows]),
  ];
  return lines.map((line) => line.replaceAll(UNPRINTABLE, '?')).join('\n');
}

function alignColumns(lines: readonly string[][]): string[] {
  const widths: number[] = [];
  for (const cells of lines) {
    cells.forEach((cell, column) => (widths[column] = Math.max(widths[column] ?? 0, cell.length)));
  }
  return lines.map((cells) =>
    cells
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join('  ')
      .trimEnd(),
  );
}

async function quarantine(rest: string[]): Promise<void> {
  const { row, undo, force } = readQuarantineArguments(rest);
  const done = await withDocuments((queries) =>
    undo
      ? markRow(queries, row, null, takeBack)
      : markRow(queries, row, 'operator', (...found) => setAside(...found, force)),
  );
  print(process.stdout, done);
}

function readQuarantineArguments(rest: string[]) {
  try {
    const { values, positionals } = parseArgs({
      args: rest,
      allowPositionals: true,
      options: { undo: { type: 'boolean', default: false }, force: { type: 'boolean', default: false } },
    });
    const [row = ''] = positionals;
    if (positionals.length !== 1 || !ROW_ID.test(row)) {
      throw new Error(`'quarantine' takes the number of a row, not '${positionals.join(' ')}'`);
    }
    return { row, ...values };
  } catch (error) {
    throw new Misuse(messageOf(error), { cause: error });
  }
}

/** @returns what to say when it is done */
function setAside(document: DocumentRows, row: LogRow, isForced: boolean): string {
  const what = `row ${row.id} of ${document.name}`;
  if (row.setAside !== null) throw new Error(`${what} is set aside already (${row.setAside})`);
  const { isHarmful, text } = consequenceOf(document, row);
  if (isHarmful && !isForced) {
    throw new Error(`${what} is not set aside; ${text}. To do it all the same, repeat with --force`);
  }
  return `set aside ${what}; ${text}`;
}

/** @returns what to say when it is done */
function takeBack({ name: document }: DocumentRows, row: LogRow): string {
  if (row.setAside === null) throw new Error(`row ${row.id} of ${document} is not set aside`);
  return `row ${row.id} is a part of ${document} again`;
}

async function token(rest: string[]): Promise<void> {
  const { jwtSecret, jwtIssuer: issuer, jwtAudience: audience } = resolveSettings(options);
  if (jwtSecret === undefined) {
    throw new Misuse('set JWT_SECRET (32 characters or more) to the key of the server');
  }
  const { sub, name: person, access, hours } = readTokenArguments(rest);
  const claims = { sub, name: person, access };
  print(process.stdout, await mintToken(jwtSecret, claims, hours * 3600, { issuer, audience }));
}

function readTokenArguments(rest: string[]) {
  try {
    const { values } = parseArgs({
      args: rest,
      options: {
        sub: { type: 'string', default: 'somebody' },
        name: { type: 'string' },
        access: { type: 'string', multiple: true, default: ['**=write'] },
        hours: { type: 'string', default: '24' },
      },
    });
    const hours = Number(values.hours);
    if (!(hours > 0 && hours <= MAX_HOURS)) {
      throw new Error(`--hours takes a number above 0, at most ${MAX_HOURS}, not '${values.hours}'`);
    }
    if (values.sub === '') throw new Error('--sub takes the id of a user');
    return { ...values, hours, access: Object.fromEntries(values.access.map(readAccess)) };
  } catch (error) {
    throw new Misuse(messageOf(error), { cause: error });
  }
}

/** Somebody may expect `serve --port 3000`. */
function takesNone(rest: string[]): void {
  if (rest.length === 0) return;
  throw new Misuse(
    `'${name}' takes no arguments, but got '${rest.join(' ')}'; settings come from the environment`,
  );
}

function readAccess(text: string): [pattern: string, access: AccessLevel] {
  const end = text.lastIndexOf('=');
  const [pattern, word] = [text.slice(0, end), text.slice(end + 1)];
  const access = ACCESS.find((level) => level === word);
  if (end < 1 || access === undefined) {
    throw new Error(`--access takes <pattern>=read, =write or =admin, not '${text}'`);
  }
  return [pattern, access];
}

async function help(): Promise<void> {
  const settings = describeSettings();
  const width = Math.max(...settings.map(({ env }) => env.length)) + 2;
  const lines = [
    'usage: indelible <command>',
    '',
    ...Object.entries(commands).map(([word, { help: text }]) => `  ${word.padEnd(12)}${text}`),
    '',
    'settings, from the environment:',
    '',
    ...settings.map(
      ({ env, fallback, help: text }) => `  ${env.padEnd(width)}${text}${fallback && ` [${fallback}]`}`,
    ),
  ];
  print(process.stdout, lines.join('\n'));
}

function print(stream: NodeJS.WriteStream, text: string): void {
  stream.write(`${text}\n`);
}
