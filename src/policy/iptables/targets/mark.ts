/** MARK and CONNMARK. */
import type { ConnmarkTarget, MarkTarget } from '../../model.js'
import { syntaxError } from '../error.js'
import type { TargetExtension } from '../extension.js'
import { flag, type Given, type GivenOption, value } from '../options.js'
import { hex, parseMasked, parseNumber } from '../values.js'

const ALL = 0xffffffff
const SETTERS = ['set-xmark', 'set-mark', 'and-mark', 'or-mark', 'xor-mark'] as const
type Setter = (typeof SETTERS)[number]

/** All setters are forms of mark := (mark & ~mask) ^ value. */
const parseSetter = ({ spec, args }: GivenOption): { value: number; mask: number } => {
  const word = args[0]!
  switch (spec.name as Setter) {
    case 'set-xmark': return parseMasked(word)
    case 'set-mark': {
      const { value: bits, mask } = parseMasked(word)
      return { value: bits, mask: (mask | bits) >>> 0 }
    }
    case 'and-mark': return { value: 0, mask: ~parseNumber(word, 0, ALL) >>> 0 }
    case 'or-mark': {
      const bits = parseNumber(word, 0, ALL)
      return { value: bits, mask: bits }
    }
    case 'xor-mark': return { value: parseNumber(word, 0, ALL), mask: 0 }
  }
}

const setterText = (bits: number, mask: number): string => {
  if (bits === 0) return `and ${hex(~mask >>> 0)}`
  if (bits === mask) return `or ${hex(bits)}`
  if (mask === 0) return `xor ${hex(bits)}`
  return mask === ALL ? `set ${hex(bits)}` : `xset ${hex(bits)}/${hex(mask)}`
}

const setterOptions = SETTERS.map((name) => value(name))

export const mark: TargetExtension<MarkTarget> = {
  name: 'MARK',
  options: setterOptions,
  parse: (given) => ({ kind: 'MARK', ...parseSetter(given.one(SETTERS)) }),
  save: (target) => `--set-xmark ${hex(target.value)}/${hex(target.mask)}`,
  list: (target) => `MARK ${setterText(target.value, target.mask)}`,
}

const parseCopy = (given: Given, operation: 'save' | 'restore'): ConnmarkTarget => {
  const read = (name: string): number | null => given.read(name, (word) => parseNumber(word, 0, ALL))
  const both = given.get('mask')
  const one = given.get('nfmask') ?? given.get('ctmask')
  if (both !== null && one !== null) throw syntaxError(both.word, `"--mask" and "--${one.spec.name}" exclude each other`)
  const mask = read('mask') ?? ALL
  return { kind: 'CONNMARK', operation, ctMask: read('ctmask') ?? mask, nfMask: read('nfmask') ?? mask }
}

/** How `-L` tells the masks of a copy. */
const masksText = (name: string, first: number, other: string, second: number): string => {
  if (first === ALL && second === ALL) return ''
  return first === second ? ` mask ${hex(first)}` : ` ${name} ${hex(first)} ${other} ~${hex(second)}`
}

export const connmark: TargetExtension<ConnmarkTarget> = {
  name: 'CONNMARK',
  options: [...setterOptions, flag('save-mark'), flag('restore-mark'), value('nfmask'), value('ctmask'), value('mask')],
  parse: (given) => {
    const option = given.one([...SETTERS, 'save-mark', 'restore-mark'])
    if (option.spec.name === 'save-mark') return parseCopy(given, 'save')
    if (option.spec.name === 'restore-mark') return parseCopy(given, 'restore')
    for (const name of ['nfmask', 'ctmask', 'mask']) {
      const mask = given.get(name)
      if (mask !== null) throw syntaxError(mask.word, `"--${name}" is for --save-mark and --restore-mark`, 'write the mask behind the mark: MARK/MASK')
    }
    return { kind: 'CONNMARK', operation: 'set', ...parseSetter(option) }
  },
  save: (target) => target.operation === 'set'
    ? `--set-xmark ${hex(target.value)}/${hex(target.mask)}`
    : `--${target.operation}-mark --nfmask ${hex(target.nfMask)} --ctmask ${hex(target.ctMask)}`,
  list: (target) => {
    switch (target.operation) {
      case 'set': return `CONNMARK ${setterText(target.value, target.mask)}`
      case 'save': return `CONNMARK save${masksText('nfmask', target.nfMask, 'ctmask', target.ctMask)}`
      case 'restore': return `CONNMARK restore${masksText('ctmask', target.ctMask, 'nfmask', target.nfMask)}`
    }
  },
}
