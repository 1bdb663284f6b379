/** Sets of ports, kept as ranges, and their text `512-599,36864-60999`. */
import { ExitCode, TsnatError } from '../errors.js'

export interface PortRange {
  /** 0-65535. */
  readonly first: number
  /** Inclusive, not below `first`. */
  readonly last: number
}

/** Ranges in ascending order that neither overlap nor touch. */
export type PortSet = readonly PortRange[]

const PORT_MAX = 65535

/** Brings ranges in any order, overlapping or not, into the form of a set. */
export const portSet = (ranges: Iterable<PortRange>): PortSet => {
  const merged: { first: number; last: number }[] = []
  for (const { first, last } of [...ranges].sort((a, b) => a.first - b.first)) {
    const previous = merged.at(-1)
    if (previous !== undefined && first <= previous.last + 1) previous.last = Math.max(previous.last, last)
    else merged.push({ first, last })
  }
  return merged
}

/** Parses without judging emptiness; null when a word is malformed. */
const parseRanges = (text: string): PortRange[] | null => {
  const ranges: PortRange[] = []
  for (const word of text.split(',')) {
    const match = /^\s*(\d{1,5})(?:-(\d{1,5}))?\s*$/.exec(word)
    const first = Number(match?.[1])
    const last = Number(match?.[2] ?? match?.[1])
    if (match === null || last > PORT_MAX || first > last) return null
    ranges.push({ first, last })
  }
  return ranges
}

/** @throws TsnatError BAD_PORTS naming the text */
export const parsePorts = (text: string): PortSet => {
  const ranges = parseRanges(text)
  if (ranges === null || ranges.some(({ first }) => first === 0)) {
    throw new TsnatError(`"${text}" is not a list of ports`, {
      code: 'BAD_PORTS',
      hint: 'give ports and ranges from 1 to 65535, for example 512-599,36864-60999',
      exitCode: ExitCode.usage,
    })
  }
  return portSet(ranges)
}

/** Reads what the kernel prints for a list of ports, where nothing is an empty line. */
export const parseKernelPorts = (text: string): PortSet => (text.trim() === '' ? [] : portSet(parseRanges(text) ?? []))

export const formatPorts = (ports: PortSet): string =>
  ports.map(({ first, last }) => (first === last ? String(first) : `${first}-${last}`)).join(',')

export const unitePorts = (a: PortSet, b: PortSet): PortSet => portSet([...a, ...b])

/** The ports of `a` that are not in `b`. */
export const subtractPorts = (a: PortSet, b: PortSet): PortSet => {
  const left: PortRange[] = []
  for (const { first, last } of a) {
    let start = first
    for (const cut of b) {
      if (cut.last < start || cut.first > last) continue
      if (cut.first > start) left.push({ first: start, last: cut.first - 1 })
      start = cut.last + 1
    }
    if (start <= last) left.push({ first: start, last })
  }
  return left
}

export const intersectPorts = (a: PortSet, b: PortSet): PortSet => subtractPorts(a, subtractPorts(a, b))

export const countPorts = (ports: PortSet): number => ports.reduce((sum, { first, last }) => sum + last - first + 1, 0)

/** The ports one by one, ascending. */
export const eachPort = function* (ports: PortSet): Generator<number> {
  for (const { first, last } of ports) for (let port = first; port <= last; port++) yield port
}
