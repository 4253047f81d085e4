/** What a session shows: its inspector, behind the interface of the front ends. */
import { type ComparedRun, costsView } from './compare.ts';
import type { Inspector } from './inspector.ts';
import type {
  AnonVmaView,
  CostsView,
  EventsView,
  LocksView,
  MmView,
  PagesView,
  PageTablesView,
  PageView,
  Ref,
  TaskView,
  WalkView,
} from './view.ts';

export abstract class SessionViews {
  abstract inspector: Inspector;
  /** Runs of the last `compare`. */
  protected compared: readonly ComparedRun[] = [];

  select(ref: Ref): void {
    this.inspector.select(ref);
  }

  selection(): readonly Ref[] {
    return this.inspector.selected();
  }

  back(): boolean {
    return this.inspector.back();
  }

  tasks(): readonly TaskView[] {
    return this.inspector.tasks();
  }

  mms(): readonly MmView[] {
    return this.inspector.mms();
  }

  anonVmas(): AnonVmaView {
    return this.inspector.anonVmas();
  }

  pageTables(): PageTablesView | null {
    return this.inspector.pageTables();
  }

  page(): PageView | null {
    return this.inspector.page();
  }

  pages(first: number, count: number, filter: string): PagesView {
    return this.inspector.pages(first, count, filter);
  }

  pageRow(key: string, filter: string): number {
    return this.inspector.pageRow(key, filter);
  }

  locks(): LocksView {
    return this.inspector.locks();
  }

  walks(): readonly WalkView[] {
    return this.inspector.walks();
  }

  costs(): CostsView {
    return costsView(this.inspector.costs(), this.compared);
  }

  events(first: number, count: number, filter: string): EventsView {
    return this.inspector.events(first, count, filter);
  }
}
