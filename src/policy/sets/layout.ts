/** How much a set takes. */
import { type ElementSetDefinition, ELEMENTS_MAX } from './edits.js'

const SLOTS_MIN = 16

/** Bytes that a set with this definition takes for `elements`, its index included. */
export const bytesOfSet = (definition: ElementSetDefinition, elements: number): number =>
  (slotsFor(definition, elements) + elements * strideOf(definition)) * 4

/** Words of a record. */
export const strideOf = ({ timeout, counters }: ElementSetDefinition): number => 2 + (timeout === null ? 0 : 2) + (counters ? 4 : 0)

/** Slots of the index. */
export const slotsFor = ({ hashSize, maxElements }: ElementSetDefinition, elements: number): number => {
  let slots = SLOTS_MIN
  while (slots < hashSize && slots <= maxElements && slots < ELEMENTS_MAX) slots *= 2
  while (slots < elements * 2) slots *= 2
  return slots
}
