import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { gunzipSync } from 'node:zlib';
import type * as Y from 'yjs';
import { randomOf } from './random.ts';

/** [position, characters deleted, text inserted] */
type Patch = [number, number, string];

/** An editing history: transactions of patches that lead from `startContent` to `endContent`. */
export interface Trace {
  startContent: string;
  endContent: string;
  txns: { patches: Patch[] }[];
}

/** The recorded history of that name when it is there, else a generated one of about the same kind. */
export function readTrace(name: string): Trace {
  const path = fileURLToPath(new URL(`../../../shared/traces/${name}.json.gz`, import.meta.url));
  if (!existsSync(path)) return generateTrace(name.length);
  return JSON.parse(gunzipSync(readFileSync(path)).toString()) as Trace;
}

/** Types one transaction of a trace. */
export function typeTransaction(text: Y.Text, { patches }: Trace['txns'][number]): void {
  text.doc?.transact(() => {
    for (const [position, deleted, inserted] of patches) {
      if (deleted > 0) text.delete(position, deleted);
      if (inserted !== '') text.insert(position, inserted);
    }
  });
}

/** Somebody who types along, jumps, and deletes now and then. */
function generateTrace(seed: number, length = 20_000): Trace {
  const random = randomOf(seed);
  const txns: Trace['txns'] = [];
  let content = '';
  let cursor = 0;
  while (txns.length < length) {
    if (random() < 0.02) cursor = Math.floor(random() * (content.length + 1));
    const deleted = cursor > 0 && random() < 0.15 ? 1 : 0;
    const inserted = deleted === 0 ? String.fromCharCode(97 + Math.floor(random() * 26)) : '';
    const position = cursor - deleted;
    txns.push({ patches: [[position, deleted, inserted]] });
    content = content.slice(0, position) + inserted + content.slice(position + deleted);
    cursor = position + inserted.length;
  }
  return { startContent: '', endContent: content, txns };
}
