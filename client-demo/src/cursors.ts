import { type Extension, type Range, Transaction } from '@codemirror/state';
import {
  Decoration,
  type DecorationSet,
  EditorView,
  type PluginValue,
  ViewPlugin,
  type ViewUpdate,
  WidgetType,
} from '@codemirror/view';
import * as Y from 'yjs';
import { field, type Person, readPerson } from './person.ts';
import { type Awareness, rootName } from './session.ts';

// y-codemirror.next has remote cursors too, and this understands theirs. But theirs trust what others write into
// their state (a malformed position ends the plugin, a colour becomes a style), keep a stale name after a rename,
// and set style attributes, which a strict Content-Security-Policy refuses.

/** The cursors and selections of the others, with their names; place it after the extension that syncs `text`. */
export function remoteCursors(text: Y.Text, awareness: Awareness): Extension {
  const plugin = ViewPlugin.define((view) => new Cursors(view, text, awareness), {
    decorations: (p) => p.shown,
  });
  return [plugin, theme];
}

class Cursors implements PluginValue {
  shown: DecorationSet = Decoration.none;
  readonly #view: EditorView;
  readonly #text: Y.Text;
  readonly #awareness: Awareness;
  #published: Record<'anchor' | 'head', Y.RelativePosition> | undefined;

  constructor(view: EditorView, text: Y.Text, awareness: Awareness) {
    this.#view = view;
    this.#text = text;
    this.#awareness = awareness;
    awareness.on('change', this.#onChange);
  }

  destroy(): void {
    this.#awareness.off('change', this.#onChange);
  }

  update({ view, state }: ViewUpdate): void {
    // Without focus the cursor stays where it was: two windows side by side both show one.
    if (view.hasFocus) this.#publish(state.selection.main);
    const ranges = [...this.#awareness.getStates()]
      .filter(([id]) => id !== this.#awareness.clientID)
      .flatMap(([id, other]) => this.#draw(readPerson(id, other), field(other, 'cursor'), state.doc.length));
    this.shown = Decoration.set(ranges, true);
  }

  readonly #onChange = (changes: Record<'added' | 'updated' | 'removed', number[]>): void => {
    const ids = [...changes.added, ...changes.updated, ...changes.removed];
    if (ids.some((id) => id !== this.#awareness.clientID)) {
      this.#view.dispatch({ annotations: Transaction.addToHistory.of(false) });
    }
  };

  #publish(selection: { anchor: number; head: number }): void {
    const anchor = Y.createRelativePositionFromTypeIndex(this.#text, selection.anchor);
    const head = Y.createRelativePositionFromTypeIndex(this.#text, selection.head);
    const { anchor: oldAnchor = null, head: oldHead = null } = this.#published ?? {};
    if (Y.compareRelativePositions(oldAnchor, anchor) && Y.compareRelativePositions(oldHead, head)) return;
    this.#published = { anchor, head };
    this.#awareness.setLocalStateField('cursor', this.#published);
  }

  #draw(person: Person, cursor: unknown, length: number): Range<Decoration>[] {
    const anchor = this.#locate(field(cursor, 'anchor'), length);
    const head = this.#locate(field(cursor, 'head'), length);
    if (anchor === undefined || head === undefined) return [];
    const caret = Decoration.widget({
      side: head > anchor ? -1 : 1,
      widget: new Caret(person, cursor),
    }).range(head);
    if (anchor === head) return [caret];
    const attributes = { class: 'remote-selection', style: `--colour: ${person.colour}` };
    return [caret, Decoration.mark({ attributes }).range(Math.min(anchor, head), Math.max(anchor, head))];
  }

  #locate(json: unknown, length: number): number | undefined {
    const { doc } = this.#text;
    const root = field(json, 'tname') ?? rootName;
    if (!doc || root !== rootName) return undefined; // Yjs would create a root for any name that it is asked for
    try {
      const relative = Y.createRelativePositionFromJSON(json);
      const position = Y.createAbsolutePositionFromRelativePosition(relative, doc);
      return position?.type === this.#text ? Math.min(position.index, length) : undefined;
    } catch {
      return undefined; // not a position
    }
  }
}

class Caret extends WidgetType {
  readonly #person: Person;
  readonly #cursor: string;

  constructor(person: Person, cursor: unknown) {
    super();
    this.#person = person;
    this.#cursor = JSON.stringify(cursor);
  }

  // A cursor that moved is drawn anew, so that its name shows again.
  override eq(other: Caret): boolean {
    if (this.#cursor !== other.#cursor) return false;
    const [a, b] = [this.#person, other.#person];
    return a.id === b.id && a.name === b.name && a.colour === b.colour;
  }

  override toDOM(): HTMLElement {
    const label = document.createElement('bdi');
    label.className = 'remote-name';
    label.textContent = this.#person.name;
    const caret = document.createElement('span');
    caret.className = 'remote-caret';
    caret.ariaHidden = 'true';
    caret.style.setProperty('--colour', this.#person.colour);
    caret.append('\u2060', label, '\u2060'); // word joiners: a line does not break at a cursor
    return caret;
  }

  override ignoreEvent(): boolean {
    return true;
  }
}

const theme = EditorView.theme({
  '.remote-selection': { backgroundColor: 'color-mix(in srgb, var(--colour) 25%, transparent)' },
  '@keyframes fade': { to: { opacity: '0' } },
  '.remote-caret:hover .remote-name': { animation: 'none' },
  '.remote-caret': { position: 'relative', borderLeft: '2px solid var(--colour)', margin: '0 -1px' },
  '.remote-name': {
    position: 'absolute',
    left: '-2px',
    bottom: '100%',
    padding: '0 5px',
    borderRadius: '4px 4px 4px 0',
    font: '600 11px/16px system-ui, sans-serif',
    whiteSpace: 'nowrap',
    pointerEvents: 'none',
    zIndex: '2',
    animation: 'fade 0.4s 4s forwards', // it covers the line above
    backgroundColor: 'var(--colour)',
    color: 'oklch(from var(--colour) clamp(0, (0.68 - l) * 1000, 1) 0 0)', // white on dark colours, black on light
  },
});
