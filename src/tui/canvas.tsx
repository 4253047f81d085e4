import { Box, type DOMElement, measureElement } from 'ink';
import { createContext, type ReactNode, useContext, useLayoutEffect, useRef } from 'react';
import { CellBuffer, Region } from './cells.ts';
import type { Painter } from './painter.ts';

/** Draws into a region of the frame. */
export type Draw = (region: Region) => void;

/**
 * Where Ink's layout meets our cells: canvases register their box and drawing function, and one
 * layout effect at the root measures them all, draws and paints. Later canvases lie over earlier ones.
 */
export class CanvasStage {
  readonly #painter: Painter;
  readonly #ascii: boolean;
  readonly #canvases = new Map<DOMElement, { draw: Draw; layer: number }>();
  #buffer: CellBuffer;

  constructor(painter: Painter, ascii: boolean) {
    this.#painter = painter;
    this.#ascii = ascii;
    this.#buffer = new CellBuffer(1, 1, ascii);
  }

  register(element: DOMElement, draw: Draw, layer: number): void {
    this.#canvases.set(element, { draw, layer });
  }

  unregister(element: DOMElement): void {
    this.#canvases.delete(element);
  }

  /** Draws every canvas and paints what changed. */
  render(columns: number, rows: number): void {
    if (this.#buffer.columns !== columns || this.#buffer.rows !== rows) {
      this.#buffer = new CellBuffer(columns, rows, this.#ascii);
      this.#painter.invalidate();
    } else this.#buffer.clear();
    const ordered = [...this.#canvases].sort((a, b) => a[1].layer - b[1].layer);
    for (const [element, { draw }] of ordered) {
      const { x, y, width, height } = measureElement(element);
      if (width < 1 || height < 1) continue;
      draw(new Region(this.#buffer, Math.max(0, x), Math.max(0, y), width, height));
    }
    this.paint();
  }

  paint(): void {
    this.#painter.paint(this.#buffer);
  }

  lines(): string[] {
    return this.#buffer.lines();
  }

  get buffer(): CellBuffer {
    return this.#buffer;
  }
}

export const StageContext = createContext<CanvasStage | null>(null);

export interface CanvasProps {
  readonly draw: Draw;
  /** Overlays lie on higher layers. */
  readonly layer?: number;
  readonly x?: number;
  readonly y?: number;
  readonly width: number;
  readonly height: number;
}

/** A borderless box of Ink that we draw. With `x` it is placed; without, Ink's flow places it. */
export function Canvas({ draw, layer = 0, x, y, width, height }: CanvasProps): ReactNode {
  const stage = useContext(StageContext);
  const ref = useRef<DOMElement | null>(null);
  useLayoutEffect(() => {
    const element = ref.current;
    if (!stage || !element) return;
    stage.register(element, draw, layer);
    return () => stage.unregister(element);
  }, [stage, draw, layer]);
  const place = x === undefined ? {} : ({ position: 'absolute', left: x, top: y ?? 0 } as const);
  return <Box ref={ref} width={width} height={height} flexShrink={0} {...place} />;
}
