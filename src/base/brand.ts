declare const brand: unique symbol;

/** A `Base` that only a named constructor makes, so that two kinds of number cannot meet by accident. */
export type Branded<Base, Name extends string> = Base & { readonly [brand]: Name };
