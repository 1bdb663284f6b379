/** One thing to measure. */
export interface Case {
  readonly name: string
  /** How many of what is named are done in one call of `run`. */
  readonly count: number
  run(): void
}

/** Results go here, so that no work can be left out as useless. */
export const sink = { value: 0 }
