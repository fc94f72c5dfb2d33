import { defaultKeymap } from '@codemirror/commands';
import { markdown } from '@codemirror/lang-markdown';
import { HighlightStyle, syntaxHighlighting } from '@codemirror/language';
import { Compartment, EditorState, type Extension, type Text } from '@codemirror/state';
import { EditorView, keymap, placeholder } from '@codemirror/view';
import { tags } from '@lezer/highlight';
import { yCollab, yUndoManagerKeymap } from 'y-codemirror.next';
import * as Y from 'yjs';
import { locateCursor, remoteCursors } from './cursors.ts';
import { element } from './element.ts';
import type { Session } from './session.ts';

const emptyHint = 'Write here. Open this page in another browser or on your phone, and write there too.';
/** The height of what covers the bottom of the window, in px. */
const coveredBottom = 60;

/** The text of one document, to be written in. */
export interface Editor {
  readonly setReadOnly: (isReadOnly: boolean) => void;
  /** Tells what to do with an empty document; to be called once it is known that the document is empty. */
  readonly showHint: () => void;
  /** Scrolls to somebody's cursor. @returns whether they have one in the text */
  readonly jumpTo: (id: number) => boolean;
  /** Undo and redo take back what was written here, not what others wrote. */
  readonly undo: () => void;
  readonly redo: () => void;
  /** Lets go of deleted text that undo would bring back. */
  readonly forgetDeleted: () => void;
  readonly focus: () => void;
  readonly close: () => void;
}

/**
 * Puts an editor of the document into `parent`. It lives in a shadow root, because there CodeMirror uses constructed style
 * sheets; in the document it would add a <style>, which the Content-Security-Policy refuses.
 * @param onText - told of the text now, and after each change
 */
export function openEditor(parent: HTMLElement, session: Session, onText: (text: Text) => void): Editor {
  const { text, awareness } = session;
  const root = parent.shadowRoot ?? parent.attachShadow({ mode: 'open' });
  const undoManager = new Y.UndoManager(text);
  const writing = new Compartment();
  // Undo would write where nothing may be written: by its keys, and by the browser's own, which yCollab hears.
  const writable: Extension[] = [keymap.of([...yUndoManagerKeymap])];
  const refuseInput = EditorView.domEventHandlers({ beforeinput: (_event, { state }) => state.readOnly });
  const extensions = [
    writing.of(writable),
    refuseInput,
    keymap.of(defaultKeymap),
    // Others may end lines otherwise: taken for one character, what they wrote would move everything behind it out of its place.
    EditorState.lineSeparator.of('\n'),
    // Undo takes back what was pasted, and not what was typed a moment before as well.
    EditorView.domEventHandlers({ paste: () => undoManager.stopCapturing() }),
    EditorView.clipboardInputFilter.of((pasted) => pasted.replaceAll(/\r\n?/g, '\n')),
    markdown(),
    syntaxHighlighting(markdownStyle),
    yCollab(text, null, { undoManager }),
    remoteCursors(session),
    EditorView.lineWrapping,
    EditorView.contentAttributes.of({ 'aria-label': 'Text of the document', spellcheck: 'true' }),
    EditorView.scrollMargins.of(() => ({ top: coveredTop(), bottom: coveredBottom })),
    EditorView.updateListener.of((update) => {
      if (update.docChanged) onText(update.state.doc);
    }),
    theme,
  ];
  const view = new EditorView({
    root,
    parent: root,
    state: EditorState.create({ doc: text.toJSON(), extensions }),
  });
  onText(view.state.doc);
  let isReadOnly = false;
  const configure = (): void =>
    view.dispatch({ effects: writing.reconfigure(isReadOnly ? EditorState.readOnly.of(true) : writable) });
  return {
    setReadOnly(isNow) {
      isReadOnly = isNow;
      configure();
    },
    showHint() {
      writable.push(placeholder(emptyHint));
      configure();
    },
    jumpTo(id) {
      const cursor = locateCursor(text, awareness.getStates().get(id));
      if (cursor === undefined) return false;
      view.dispatch({ effects: EditorView.scrollIntoView(cursor.head, { y: 'center' }) });
      return true;
    },
    undo() {
      if (!view.state.readOnly) undoManager.undo();
    },
    redo() {
      if (!view.state.readOnly) undoManager.redo();
    },
    forgetDeleted() {
      undoManager.clear();
      const { doc } = undoManager;
      Y.tryGc(Y.createDeleteSetFromStructStore(doc.store), doc.store, doc.gcFilter);
    },
    focus: () => view.focus(),
    close() {
      view.destroy();
      undoManager.destroy();
    },
  };
}

/** The height of what covers the top of the window, in px: cursors are scrolled to below it. */
function coveredTop(): number {
  const bar = element('bar', HTMLDivElement);
  const header = bar.parentElement?.getBoundingClientRect();
  // On a phone the header is no box, and the bar alone stays.
  return header === undefined || header.height === 0 ? bar.offsetHeight : header.height;
}

const theme = EditorView.theme({
  '&': { height: '100%', fontSize: 'inherit', backgroundColor: 'transparent' },
  '&.cm-focused': { outline: 'none' },
  '.cm-scroller': { fontFamily: 'inherit', lineHeight: '1.65', overflow: 'visible' },
  '.cm-content': { padding: '28px 0 30vh', caretColor: 'var(--ink)' },
  '.cm-line': { padding: '0' },
  '.cm-placeholder': { color: 'var(--faint)' },
  '.cm-content ::selection, .cm-line::selection': { backgroundColor: 'var(--selection)' },
});

const markdownStyle = HighlightStyle.define([
  { tag: tags.heading1, fontSize: '1.5em', fontWeight: '700' },
  { tag: tags.heading2, fontSize: '1.25em', fontWeight: '700' },
  { tag: tags.heading, fontWeight: '700' },
  { tag: tags.strong, fontWeight: '700' },
  { tag: tags.emphasis, fontStyle: 'italic' },
  { tag: tags.strikethrough, textDecoration: 'line-through' },
  { tag: tags.monospace, fontFamily: 'ui-monospace, monospace', fontSize: '0.92em' },
  { tag: [tags.link, tags.url], color: 'var(--accent)' },
  { tag: tags.quote, color: 'var(--muted)' },
  { tag: tags.processingInstruction, color: 'var(--faint)' },
]);
