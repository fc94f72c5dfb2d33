#!/usr/bin/env node
import { parseArgs } from 'node:util';
import { mintToken } from './auth/tokens.ts';
import { describeSettings, resolveSettings, settingsFromEnvironment } from './config.ts';
import { IndelibleError, messageOf } from './errors.ts';
import { createServer } from './server.ts';
import { createLog } from './log.ts';
import { openDatabase } from './storage/database.ts';
import { migrate } from './storage/migrate.ts';

/** Exit codes: 1 when something was not done, 2 when the command line or the settings are wrong. */
const FAILED = 1;
const MISUSED = 2;

const commands: Record<string, { help: string; run: (args: string[]) => Promise<void> }> = {
  serve: { help: 'start the server', run: serve },
  migrate: { help: 'bring the schema of the database up to date, and stop', run: runMigrate },
  token: { help: 'mint a token: --sub alice [--name Alice] [--access "notes/*=write"]… [--hours 24]', run: token },
  help: { help: 'show this page', run: help },
};

const options = settingsFromEnvironment(process.env);
const [name = 'help', ...args] = process.argv.slice(2);
const command = Object.hasOwn(commands, name) ? commands[name] : undefined;
try {
  if (command === undefined) throw new IndelibleError('bad_settings', `no command '${name}'; try 'help'`);
  await command.run(args);
} catch (error) {
  print(process.stderr, `indelible: ${messageOf(error)}`);
  process.exitCode = error instanceof IndelibleError && error.code === 'bad_settings' ? MISUSED : FAILED;
}

async function serve(): Promise<void> {
  const server = await createServer(options);
  const { url } = await server.listen();
  const shown = url.replace('//127.0.0.1:', '//localhost:');
  print(process.stdout, `\n  Indelible is ready: open ${shown}/ in two tabs and type.\n`);
  const force = new AbortController();
  let signals = 0;
  const stop = () => {
    signals += 1;
    if (signals > 1) force.abort();
    else void end(server.close(force.signal));
  };
  process.on('SIGTERM', stop).on('SIGINT', stop);
}

async function end(closing: ReturnType<Awaited<ReturnType<typeof createServer>>['close']>): Promise<void> {
  try {
    const { unwritten } = await closing;
    if (unwritten.length === 0) process.exit(0);
    print(process.stderr, `indelible: not committed, and never acknowledged: ${unwritten.join(', ')}`);
  } catch (error) {
    print(process.stderr, `indelible: ${messageOf(error)}`);
  }
  process.exit(FAILED);
}

async function runMigrate(): Promise<void> {
  const settings = resolveSettings(options);
  const log = createLog('warn');
  const { databaseUrl: url, dataDir, limitDatabaseConnections: connections } = settings;
  const database = await openDatabase({ url, dataDir, connections, log });
  try {
    const applied = await migrate(database, log);
    print(process.stdout, applied.length === 0 ? 'up to date' : `applied: ${applied.join(', ')}`);
  } finally {
    await database.close();
  }
}

async function token(args: string[]): Promise<void> {
  const { jwtSecret } = resolveSettings(options);
  if (jwtSecret === undefined) {
    throw new IndelibleError('bad_settings', 'set JWT_SECRET (32 characters or more) to the key of the server');
  }
  const { sub, name: person, access, hours } = readTokenArguments(args);
  print(process.stdout, await mintToken(jwtSecret, { sub, name: person, access }, hours * 3600));
}

function readTokenArguments(args: string[]) {
  try {
    const { values } = parseArgs({
      args,
      options: {
        sub: { type: 'string', default: 'somebody' },
        name: { type: 'string' },
        access: { type: 'string', multiple: true, default: ['**=write'] },
        hours: { type: 'string', default: '24' },
      },
    });
    const hours = Number(values.hours);
    if (!(hours > 0)) throw new Error(`--hours takes a number above 0, not '${values.hours}'`);
    return { ...values, hours, access: Object.fromEntries(values.access.map(readAccess)) };
  } catch (error) {
    throw new IndelibleError('bad_settings', messageOf(error), { cause: error });
  }
}

function readAccess(text: string): [pattern: string, access: 'read' | 'write'] {
  const end = text.lastIndexOf('=');
  const [pattern, access] = [text.slice(0, end), text.slice(end + 1)];
  if (end < 1 || (access !== 'read' && access !== 'write')) {
    throw new Error(`--access takes <pattern>=read or <pattern>=write, not '${text}'`);
  }
  return [pattern, access];
}

async function help(): Promise<void> {
  const column = (text: string, width: number) => text.padEnd(width);
  const lines = [
    'usage: indelible <command>',
    '',
    ...Object.entries(commands).map(([word, { help: text }]) => `  ${column(word, 9)}${text}`),
    '',
    'settings, from the environment:',
    '',
    ...describeSettings().map(
      ({ env, fallback, help: text }) => `  ${column(env, 28)}${text}${fallback && ` [${fallback}]`}`,
    ),
  ];
  print(process.stdout, lines.join('\n'));
}

function print(stream: NodeJS.WriteStream, text: string): void {
  stream.write(`${text}\n`);
}
