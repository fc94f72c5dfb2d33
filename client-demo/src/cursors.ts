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
import { field } from './field.ts';
import { type Person, readPerson } from './person.ts';
import { rootName, type Session } from './session.ts';

// y-codemirror.next has remote cursors too, and this understands theirs. But theirs trust what others write into
// their state (a malformed position ends the plugin, a colour becomes a style), keep a stale name after a rename,
// and set style attributes, which a strict Content-Security-Policy refuses.

type Selection = Record<'anchor' | 'head', number>;

/** The cursors and selections of the others, with their names; place it after the extension that syncs the text. */
export function remoteCursors(session: Session): Extension {
  const plugin = ViewPlugin.define((view) => new Cursors(view, session), { decorations: (p) => p.shown });
  return [plugin, theme];
}

/** Where somebody's cursor is in the text, if it is anywhere: anybody can write anything into their state. */
export function locateCursor(text: Y.Text, state: unknown): Selection | undefined {
  const cursor = field(state, 'cursor');
  const anchor = locate(text, field(cursor, 'anchor'));
  const head = locate(text, field(cursor, 'head'));
  return anchor === undefined || head === undefined ? undefined : { anchor, head };
}

function locate(text: Y.Text, json: unknown): number | undefined {
  const { doc } = text;
  const root = field(json, 'tname') ?? rootName;
  if (!doc || root !== rootName) return undefined; // Yjs would create a root for any name that it is asked for
  try {
    const relative = Y.createRelativePositionFromJSON(json);
    const position = Y.createAbsolutePositionFromRelativePosition(relative, doc);
    return position?.type === text ? position.index : undefined;
  } catch {
    return undefined; // not a position
  }
}

class Cursors implements PluginValue {
  shown: DecorationSet = Decoration.none;
  readonly #view: EditorView;
  readonly #session: Session;
  #published: Record<'anchor' | 'head', Y.RelativePosition> | undefined;

  constructor(view: EditorView, session: Session) {
    this.#view = view;
    this.#session = session;
    session.awareness.on('change', this.#onChange);
  }

  destroy(): void {
    this.#session.awareness.off('change', this.#onChange);
  }

  update({ view, state }: ViewUpdate): void {
    // Without focus the cursor stays where it was: two windows side by side both show one.
    if (view.hasFocus) this.#publish(state.selection.main);
    const { awareness } = this.#session;
    const ranges = [...awareness.getStates()]
      .filter(([id]) => id !== awareness.clientID)
      .flatMap(([id, other]) => this.#draw(readPerson(id, other), other, state.doc.length));
    this.shown = Decoration.set(ranges, true);
    view.requestMeasure(this.#keepingNamesInSight);
  }

  /** Near the right edge, on a phone that is most of a line, a name goes to the left as far as it must. */
  readonly #keepingNamesInSight = {
    read: ({ contentDOM }: EditorView): [name: HTMLElement, excess: number][] => {
      const { right } = contentDOM.getBoundingClientRect();
      return Array.from(contentDOM.querySelectorAll<HTMLElement>('.remote-name'), (name) => {
        const { left } = name.parentElement?.getBoundingClientRect() ?? { left: 0 };
        return [name, left + name.offsetWidth - right];
      });
    },
    write: (names: [name: HTMLElement, excess: number][]): void => {
      for (const [name, excess] of names) name.style.translate = `${-Math.max(0, excess)}px`;
    },
  };

  readonly #onChange = (changes: Record<'added' | 'updated' | 'removed', number[]>): void => {
    const ids = [...changes.added, ...changes.updated, ...changes.removed];
    if (ids.some((id) => id !== this.#session.awareness.clientID)) {
      this.#view.dispatch({ annotations: Transaction.addToHistory.of(false) });
    }
  };

  #publish(selection: Selection): void {
    const { text, presence } = this.#session;
    const anchor = Y.createRelativePositionFromTypeIndex(text, selection.anchor);
    const head = Y.createRelativePositionFromTypeIndex(text, selection.head);
    const { anchor: oldAnchor = null, head: oldHead = null } = this.#published ?? {};
    if (Y.compareRelativePositions(oldAnchor, anchor) && Y.compareRelativePositions(oldHead, head)) return;
    this.#published = { anchor, head };
    presence.set('cursor', this.#published);
  }

  #draw(person: Person, state: unknown, length: number): Range<Decoration>[] {
    const cursor = locateCursor(this.#session.text, state);
    if (cursor === undefined) return [];
    // Yjs may be ahead of the editor.
    const anchor = Math.min(cursor.anchor, length);
    const head = Math.min(cursor.head, length);
    const caret = Decoration.widget({
      side: head > anchor ? -1 : 1,
      widget: new Caret(person, field(state, 'cursor')),
    }).range(head);
    if (anchor === head) return [caret];
    const attributes = { class: 'remote-selection', style: `--colour: ${person.colour}` };
    return [caret, Decoration.mark({ attributes }).range(Math.min(anchor, head), Math.max(anchor, head))];
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
