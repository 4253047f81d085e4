import type { EventView, PageRowView, Ref, SessionView, StatusView } from '../debugger/view.ts';
import type { Glyphs } from './glyphs.ts';
import type { PaneId } from './panes.ts';
import { anonVmaSheet } from './text/anon-vma.ts';
import { costsSheet } from './text/costs.ts';
import { eventsSheet } from './text/events.ts';
import { locksSheet } from './text/locks.ts';
import { pageSheet } from './text/page.ts';
import { pageTablesSheet } from './text/page-tables.ts';
import { pagesSheet } from './text/pages.ts';
import { filtered, refKey, type Sheet } from './text/row.ts';
import { sourceSheet } from './text/source.ts';
import { tasksSheet } from './text/tasks.ts';
import { vmasSheet } from './text/vmas.ts';
import { walkSheet } from './text/walk.ts';

/**
 * What the panes show of the session, asked for at most once between two stops. A pane that is
 * not on the screen asks for nothing.
 */

const EVENT_CHUNK = 64;
const CHUNKS_KEPT = 64;

export class Views {
  readonly #session: SessionView;
  readonly #glyphs: Glyphs;
  readonly #sheets = new Map<string, Sheet>();
  readonly #chunks = new Map<string, readonly EventView[]>();
  readonly #pageChunks = new Map<string, readonly PageRowView[]>();
  #selection: ReadonlySet<string> | null = null;
  #status: StatusView | null = null;
  /** Grows whenever the session may show something else. */
  version = 0;

  constructor(session: SessionView, glyphs: Glyphs) {
    this.#session = session;
    this.#glyphs = glyphs;
  }

  invalidate(): void {
    this.version++;
    this.#sheets.clear();
    this.#chunks.clear();
    this.#pageChunks.clear();
    this.#selection = null;
    this.#status = null;
  }

  status(): StatusView {
    this.#status ??= this.#session.status();
    return this.#status;
  }

  /** Only the status: while a verb runs the panes keep the last stop. */
  invalidateStatus(): void {
    this.#status = null;
  }

  selection(): ReadonlySet<string> {
    this.#selection ??= new Set(this.#session.selection().map((ref: Ref) => refKey(ref)));
    return this.#selection;
  }

  /** Sheet of a pane other than output, narrowed by its filter. */
  sheet(id: Exclude<PaneId, 'output'>, filter: string): Sheet {
    const key = `${id} ${filter}`;
    const known = this.#sheets.get(key);
    if (known) return known;
    // Events and pages filter in the session, which need not build rows for it; in source `/` only searches.
    const made =
      id === 'events'
        ? this.#events(filter)
        : id === 'pages'
          ? this.#pages(filter)
          : id === 'source' || filter === ''
            ? this.#build(id)
            : filtered(this.sheet(id, ''), filter);
    this.#sheets.set(key, made);
    return made;
  }

  #build(id: Exclude<PaneId, 'output' | 'events' | 'pages'>): Sheet {
    const session = this.#session;
    switch (id) {
      case 'source':
        return sourceSheet(session.source(), this.#glyphs);
      case 'tasks':
        return tasksSheet(session.tasks(), this.#glyphs);
      case 'vmas':
        return vmasSheet(session.mms(), this.#glyphs);
      case 'anon-vma':
        return anonVmaSheet(session.anonVmas(), this.#glyphs);
      case 'page-tables':
        return pageTablesSheet(session.pageTables(), this.#glyphs);
      case 'page':
        return pageSheet(session.page(), this.#glyphs);
      case 'locks':
        return locksSheet(session.locks(), this.#glyphs);
      case 'walk':
        return walkSheet(session.walks(), this.#glyphs);
      case 'costs':
        return costsSheet(session.costs(), this.#glyphs);
    }
  }

  #events(filter: string): Sheet {
    const { total } = this.#session.events(0, 0, filter);
    return eventsSheet(total, (index) => this.#event(index, filter), filter);
  }

  #pages(filter: string): Sheet {
    const view = this.#session.pages(0, EVENT_CHUNK, filter);
    this.#pageChunks.set(`0 ${filter}`, view.rows);
    return pagesSheet(
      view,
      filter,
      (index) => this.#pageRow(index, filter),
      (key) => this.#session.pageRow(key, filter),
    );
  }

  #pageRow(index: number, filter: string): PageRowView | null {
    const chunk = Math.floor(index / EVENT_CHUNK);
    const key = `${chunk} ${filter}`;
    let rows = this.#pageChunks.get(key);
    if (!rows) {
      if (this.#pageChunks.size >= CHUNKS_KEPT) this.#pageChunks.clear();
      rows = this.#session.pages(chunk * EVENT_CHUNK, EVENT_CHUNK, filter).rows;
      this.#pageChunks.set(key, rows);
    }
    return rows[index - chunk * EVENT_CHUNK] ?? null;
  }

  #event(index: number, filter: string): EventView | null {
    const chunk = Math.floor(index / EVENT_CHUNK);
    const key = `${chunk} ${filter}`;
    let rows = this.#chunks.get(key);
    if (!rows) {
      if (this.#chunks.size >= CHUNKS_KEPT) this.#chunks.clear();
      rows = this.#session.events(chunk * EVENT_CHUNK, EVENT_CHUNK, filter).rows;
      this.#chunks.set(key, rows);
    }
    return rows[index - chunk * EVENT_CHUNK] ?? null;
  }
}
