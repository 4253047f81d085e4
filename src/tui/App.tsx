import { Box } from 'ink';
import { memo, type ReactNode, useCallback, useLayoutEffect, useSyncExternalStore } from 'react';
import { Canvas, type CanvasStage, StageContext } from './canvas.tsx';
import type { Region } from './cells.ts';
import { drawCommand, drawHeader, drawStatus, drawTabs, drawTooSmall } from './draw-bars.ts';
import {
  CONFIRM_HEIGHT,
  CONFIRM_WIDTH,
  candidatesSize,
  drawCandidates,
  drawConfirm,
  drawHelp,
  drawHints,
  HELP_HEIGHT,
  HELP_WIDTH,
  HINTS_HEIGHT,
  HINTS_WIDTH,
} from './draw-overlays.ts';
import { drawPane, drawRules } from './draw-pane.ts';
import type { Layout, PaneBox, Rect } from './layout.ts';
import type { Ui } from './ui.ts';

/** The component tree: what is on the screen and where. What it looks like is drawn by the canvases. */
export function App({ ui, stage }: { readonly ui: Ui; readonly stage: CanvasStage }): ReactNode {
  useSyncExternalStore(ui.subscribe, () => ui.frame);
  const layout = ui.layout();
  // Child effects run first, so every canvas of this frame is registered when this one paints.
  useLayoutEffect(() => stage.render(ui.columns, ui.rows));
  return (
    <StageContext value={stage}>
      <Box position="absolute" width={ui.columns} height={ui.rows}>
        {layout.mode === 'small' ? (
          <Canvas x={0} y={0} width={ui.columns} height={ui.rows} draw={drawTooSmall} />
        ) : (
          <Screen ui={ui} layout={layout} />
        )}
      </Box>
    </StageContext>
  );
}

function Screen({ ui, layout }: { readonly ui: Ui; readonly layout: Layout }): ReactNode {
  return (
    <>
      <Bar ui={ui} rect={layout.header} draw={drawHeader} />
      {layout.tabs && <Bar ui={ui} rect={layout.tabs} draw={drawTabs} />}
      {layout.panes.map((box) => (
        // A place keeps its canvas when another of its tabs comes forward.
        <Pane key={box.tabs.join()} ui={ui} box={box} />
      ))}
      <Rules ui={ui} layout={layout} />
      <Bar ui={ui} rect={layout.status} draw={drawStatus} />
      <Bar ui={ui} rect={layout.command} draw={drawCommand} />
      <Overlays ui={ui} layout={layout} />
    </>
  );
}

type DrawOf = (ui: Ui, region: Region) => void;

const Bar = memo(function Bar(props: {
  readonly ui: Ui;
  readonly rect: Rect;
  readonly draw: DrawOf;
  readonly layer?: number;
}): ReactNode {
  const { ui, rect, draw, layer = 0 } = props;
  const paint = useCallback((region: Region) => draw(ui, region), [ui, draw]);
  return <Canvas {...rect} draw={paint} layer={layer} />;
}, sameRect);

/** Bars redraw every frame from the store; React need only know when one moves. */
function sameRect(
  a: { readonly rect: Rect; readonly draw: DrawOf },
  b: { readonly rect: Rect; readonly draw: DrawOf },
): boolean {
  return (
    a.draw === b.draw &&
    a.rect.x === b.rect.x &&
    a.rect.y === b.rect.y &&
    a.rect.width === b.rect.width &&
    a.rect.height === b.rect.height
  );
}

function Pane({ ui, box }: { readonly ui: Ui; readonly box: PaneBox }): ReactNode {
  return (
    <Canvas
      x={box.x}
      y={box.y}
      width={box.width}
      height={box.height}
      draw={(region) => drawPane(ui, box, region)}
    />
  );
}

function Rules({ ui, layout }: { readonly ui: Ui; readonly layout: Layout }): ReactNode {
  // Its box spans the screen: a rule meets the titles of panes on both sides.
  return (
    <Canvas
      x={0}
      y={0}
      width={layout.columns}
      height={layout.rows}
      draw={(region) => drawRules(ui, layout, region)}
    />
  );
}

/** Boxes over everything. Ink's flow centres them or holds them to an edge. */
function Overlays({ ui, layout }: { readonly ui: Ui; readonly layout: Layout }): ReactNode {
  const { columns, rows } = layout;
  const center = (width: number, height: number, draw: DrawOf): ReactNode => (
    <Box
      position="absolute"
      width={columns}
      height={rows - 1}
      alignItems="center"
      justifyContent="center"
    >
      <Canvas
        layer={1}
        width={Math.min(width, columns - 2)}
        height={Math.min(height, rows - 3)}
        draw={(region) => draw(ui, region)}
      />
    </Box>
  );
  if (ui.overlay === 'help') return center(HELP_WIDTH, HELP_HEIGHT, drawHelp);
  if (ui.overlay === 'confirm') return center(CONFIRM_WIDTH, CONFIRM_HEIGHT, drawConfirm);
  if (ui.command.completions.length > 0) {
    const size = candidatesSize(ui);
    const height = Math.min(size.height, rows - 3);
    return (
      <Canvas
        layer={1}
        x={1}
        y={rows - 1 - height}
        width={Math.min(size.width, columns - 2)}
        height={height}
        draw={(region) => drawCandidates(ui, region)}
      />
    );
  }
  if (!ui.showsHints) return null;
  return (
    <Box
      position="absolute"
      width={columns - 1}
      height={rows - 2}
      alignItems="flex-end"
      justifyContent="flex-end"
    >
      <Canvas
        layer={1}
        width={Math.min(HINTS_WIDTH, columns - 2)}
        height={Math.min(HINTS_HEIGHT, rows - 4)}
        draw={(region) => drawHints(ui, region)}
      />
    </Box>
  );
}
