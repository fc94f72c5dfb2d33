import { defaultKeymap } from '@codemirror/commands';
import { markdown } from '@codemirror/lang-markdown';
import { HighlightStyle, syntaxHighlighting } from '@codemirror/language';
import { EditorState, StateEffect } from '@codemirror/state';
import { EditorView, keymap, placeholder } from '@codemirror/view';
import { tags } from '@lezer/highlight';
import { yCollab, yUndoManagerKeymap } from 'y-codemirror.next';
import * as Y from 'yjs';
import { remoteCursors } from './cursors.ts';
import type { Awareness } from './session.ts';

const emptyHint = 'Write here. Open this page in a second tab, or on another device, and write there too.';

/**
 * Puts an editor of `text` into `parent`. It lives in a shadow root, because there CodeMirror uses constructed style
 * sheets; in the document it would add a <style>, which the Content-Security-Policy refuses.
 */
export function openEditor(parent: HTMLElement, text: Y.Text, awareness: Awareness): EditorView {
  const root = parent.shadowRoot ?? parent.attachShadow({ mode: 'open' });
  const undoManager = new Y.UndoManager(text);
  const extensions = [
    keymap.of([...yUndoManagerKeymap, ...defaultKeymap]),
    markdown(),
    syntaxHighlighting(markdownStyle),
    yCollab(text, null, { undoManager }),
    remoteCursors(text, awareness),
    EditorView.lineWrapping,
    EditorView.contentAttributes.of({ 'aria-label': 'Text of the document', spellcheck: 'true' }),
    theme,
  ];
  return new EditorView({
    root,
    parent: root,
    state: EditorState.create({ doc: text.toJSON(), extensions }),
  });
}

/** Tells what to do with an empty document; call it once it is known that the document is empty. */
export function showHint(editor: EditorView): void {
  editor.dispatch({ effects: StateEffect.appendConfig.of(placeholder(emptyHint)) });
}

/** Ends editing; the text can still be selected and copied. */
export function lock(editor: EditorView): void {
  editor.dispatch({ effects: StateEffect.appendConfig.of(EditorState.readOnly.of(true)) });
}

const theme = EditorView.theme({
  '&': { height: '100%', fontSize: 'inherit', backgroundColor: 'transparent' },
  '&.cm-focused': { outline: 'none' },
  '.cm-scroller': { fontFamily: 'inherit', lineHeight: '1.65', overflow: 'visible' },
  '.cm-content': { padding: '28px 0 40vh', caretColor: 'var(--ink)' },
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
