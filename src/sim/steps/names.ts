/**
 * Which names of a file of kernel source are generators: those it declares, those it imports from a file
 * that does, and the members of operation records, which are found by their name over all files (a call
 * `ops.prepare()` does not tell whose record it is).
 *
 * Also, which files exist once for each build: those with kernel functions, and those that import one of
 * these, since a table of kernel functions must hold those of its own build.
 */
import path from 'node:path';
import { children, isNode, type Node, parse } from './ast.ts';

interface Import {
  readonly from: string;
  readonly name: string;
}

export interface FileNames {
  /** Generator functions it declares, and their parameters of type `(…) => K`. */
  readonly functions: ReadonlySet<string>;
  /** Members of operation records that return K. */
  readonly members: ReadonlySet<string>;
  /** What names of the file mean in another one, found by relative path. */
  readonly imports: ReadonlyMap<string, Import>;
  /** Other files whose code runs when this one is loaded. */
  readonly loads: ReadonlySet<string>;
}

function returnsK(type: unknown): boolean {
  if (!isNode(type)) return false;
  if (type.type === 'TSTypeAnnotation') return returnsK(type.typeAnnotation);
  if (type.type === 'TSFunctionType') return returnsK(type.returnType);
  if (type.type !== 'TSTypeReference') return false;
  const name = type.typeName as Node;
  return name.type === 'Identifier' && name.name === 'K';
}

/** A function that returns K, as opposed to a value of type K. */
function isKernelFunctionType(type: unknown): boolean {
  if (!isNode(type)) return false;
  if (type.type === 'TSTypeAnnotation') return isKernelFunctionType(type.typeAnnotation);
  return type.type === 'TSFunctionType' && returnsK(type.returnType);
}

function nameOf(node: unknown): string | null {
  return isNode(node) && node.type === 'Identifier' ? (node.name as string) : null;
}

/** Reads one file. `file` is an absolute path. */
export function namesOf(code: string, file: string): FileNames {
  const functions = new Set<string>();
  const members = new Set<string>();
  const imports = new Map<string, Import>();
  const loads = new Set<string>();
  const add = (set: Set<string>, id: unknown): void => {
    const name = nameOf(id);
    if (name !== null) set.add(name);
  };

  const visit = (node: Node): void => {
    const value = isNode(node.value) ? node.value : null;
    const init = isNode(node.init) ? node.init : null;
    if (node.type === 'FunctionDeclaration' && node.generator === true) {
      add(functions, node.id);
    } else if (node.type === 'TSPropertySignature' && returnsK(node.typeAnnotation)) {
      add(members, node.key);
    } else if (node.type === 'TSMethodSignature' && returnsK(node.returnType)) {
      add(members, node.key);
    } else if (node.type === 'Property' && value?.generator === true) {
      add(members, node.key);
    } else if (node.type === 'VariableDeclarator' && init?.generator === true) {
      add(functions, node.id);
    } else if (/^(Import|Export(Named|All))Declaration$/.test(node.type) && isNode(node.source)) {
      readImport(node);
    }
    for (const parameter of node.generator === true ? (node.params as unknown[]) : []) {
      if (isNode(parameter) && isKernelFunctionType(parameter.typeAnnotation)) {
        add(functions, parameter);
      }
    }
    for (const child of children(node)) visit(child);
  };

  const readImport = (node: Node): void => {
    const source = (node.source as Node).value as string;
    const isType = node.importKind === 'type' || node.exportKind === 'type';
    if (isType || !source.startsWith('.')) return;
    const from = path.resolve(path.dirname(file), source);
    const specifiers = (node.specifiers ?? []) as Node[];
    const values = specifiers.filter((s) => s.importKind !== 'type' && s.exportKind !== 'type');
    if (values.length > 0 || specifiers.length === 0) loads.add(from);
    for (const specifier of values) {
      const name = nameOf(specifier.imported) ?? nameOf(specifier.exported);
      const local = nameOf(specifier.local);
      if (name === null || local === null) continue;
      // Of `export { a as b } from`, b is what others ask for.
      const exported = node.type === 'ExportNamedDeclaration';
      imports.set(exported ? name : local, { from, name: exported ? local : name });
    }
  };

  visit(parse(code, file));
  return { functions, members, imports, loads };
}

/** All files of kernel source. */
export class KernelNames {
  readonly members: ReadonlySet<string>;
  readonly #files: ReadonlyMap<string, FileNames>;
  readonly #perBuild: ReadonlySet<string>;

  /**
   * `files` gives the code of each by its absolute path. To import `runtime`, which has no kernel functions to
   * put into a table, does not make a file one of a build.
   */
  constructor(files: ReadonlyMap<string, string>, runtime: string) {
    const read = new Map([...files].map(([file, code]) => [file, namesOf(code, file)]));
    this.#files = read;
    this.members = new Set([...read.values()].flatMap((names) => [...names.members]));
    const perBuild = new Set(
      [...files].filter(([, code]) => /function\s*\*/.test(code)).map(([file]) => file),
    );
    for (let before = -1; before !== perBuild.size; ) {
      before = perBuild.size;
      for (const [file, { loads }] of read) {
        if ([...loads].some((other) => other !== runtime && perBuild.has(other))) {
          perBuild.add(file);
        }
      }
    }
    this.#perBuild = perBuild;
  }

  /** Whether each build has its own copy of the file. */
  isPerBuild(file: string): boolean {
    return this.#perBuild.has(file);
  }

  /** The names by which `file` calls generators. */
  generatorsIn(file: string): ReadonlySet<string> {
    const names = this.#files.get(file);
    if (names === undefined) return new Set();
    const imported = [...names.imports.keys()].filter((name) => this.#isGenerator(file, name));
    return new Set([...names.functions, ...imported]);
  }

  #isGenerator(file: string, name: string): boolean {
    const names = this.#files.get(file);
    if (names === undefined) return false;
    if (names.functions.has(name)) return true;
    const at = names.imports.get(name);
    return at !== undefined && this.#isGenerator(at.from, at.name);
  }
}
