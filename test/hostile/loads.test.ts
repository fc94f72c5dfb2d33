import { Document } from '@hocuspocus/server';
import { expect, test } from 'vitest';
import { scaled } from '../faults/run.ts';
import { mutate, seedOf } from '../helpers/hostile.ts';
import { randomOf } from '../helpers/random.ts';
import { checkUpdate } from '../../server/documents/update-check.ts';
import { OpenDocument } from '../../server/documents/open-document.ts';
import { applyStored, findUnreadable, mergeStored } from '../../server/storage/stored-document.ts';
import { describeDocument, sent, typingOfAnna } from './anna.ts';

const DOCUMENTS = scaled(300, 20_000);
const UPDATES_OF_A_DOCUMENT = 125;
/** After an update, that the document is folded, and that it is loaded. */
const FOLDED = 0.02;
const LOADED = 0.04;
const SEED = seedOf(6_400);

const UNLIMITED = { structs: Infinity, clients: Infinity };
const LIMITS = { documentBytes: Infinity, pendingBytes: 1024 * 1024, presence: { ids: 1, bytes: 1000 } };

const { base, updates } = typingOfAnna();

/** A document in memory, and its log, as the server keeps them. */
class Kept {
  live = new Document('loads');
  #open = opened(this.live);
  #snapshot: Uint8Array | null = null;
  #tail: { id: string; update: Uint8Array }[] = [];
  #rows = 0;

  receive(update: Uint8Array): void {
    let shape;
    try {
      shape = checkUpdate(update, UNLIMITED);
    } catch {
      return;
    }
    const edit = this.#open.weigh(update, shape);
    if (edit.refusal !== null) return;
    try {
      const news = this.#open.apply(edit, { source: 'test' });
      if (news !== null) this.#tail.push({ id: `${(this.#rows += 1)}`, update: news });
    } catch {
      this.load();
    }
  }

  fold(): void {
    let merged;
    try {
      merged = mergeStored(this.#stored);
    } catch {
      return;
    }
    if (merged === null) return;
    this.#snapshot = merged;
    this.#tail = [];
  }

  load(): void {
    this.close();
    this.live = this.rebuilt();
    this.#open = opened(this.live);
  }

  close(): void {
    this.live.destroy();
  }

  /** From the log alone; what cannot be applied is set aside. */
  rebuilt(): Document {
    const doc = new Document('loads');
    try {
      applyStored(doc, this.#stored);
      return doc;
    } catch {
      const unreadable = findUnreadable(this.#stored).map(({ row }) => row.id);
      if (unreadable.length === 0) throw new Error('it can be read row by row, and not at once');
      this.#tail = this.#tail.filter(({ id }) => !unreadable.includes(id));
      return this.rebuilt();
    }
  }

  get #stored() {
    return { snapshot: this.#snapshot, tail: this.#tail };
  }
}

function opened(document: Document): OpenDocument {
  return new OpenDocument(document, null, { onUpdate() {}, onPresence() {}, onEncoded() {}, limits: LIMITS });
}

test(
  `[S15] what anybody sends, and what waits of it, is the same in memory, loaded and folded (SEED=${SEED} runs these again)`,
  { timeout: scaled(60_000, 1_200_000) },
  () => {
    for (let number = 0; number < DOCUMENTS; number += 1) {
      const random = randomOf(SEED + number);
      const kept = new Kept();
      kept.receive(base);
      for (let count = 0; count < UPDATES_OF_A_DOCUMENT; count += 1) {
        const one = () => updates[Math.floor(random() * updates.length)] as Uint8Array;
        kept.receive(mutate(one(), random, one()));
        const chance = random();
        if (chance < FOLDED) kept.fold();
        else if (chance < FOLDED + LOADED) kept.load();
      }
      const [memory, loaded] = [describeDocument(sent(kept.live)), describeDocument(sent(kept.rebuilt()))];
      expect(loaded, `SEED=${SEED + number}`).toEqual(memory);
      kept.fold();
      expect(describeDocument(sent(kept.rebuilt())), `folded, SEED=${SEED + number}`).toEqual(memory);
      kept.close();
    }
  },
);
