/**
 * The configuration: checked against its schema (config-schema.ts), completed from its profile. With config-schema.ts the
 * only files that know the schema library. Reading files is config-file.ts; flags are cli/up/flags.ts.
 */
import { z } from 'zod'
import { type Conflict, natConflict } from './config-nat.js'
import { type CheckedConfig, schema } from './config-schema.js'
import { type UplinkConfig, uplinksOf, wanConflict } from './config-wan.js'
import { ExitCode, TsnatError } from './errors.js'
import { parseForward } from './forward-text.js'
import { instanceDirectory } from './host/run-directory.js'
import { type Profile, PROFILES } from './nat/profiles.js'
import { PROTOCOL_ICMP } from './stack/wire/ipv4.js'
import { nearest } from './nearest.js'

/** What a file, the flags or a program may give; everything but `wan` has a default. */
export type ConfigInput = z.input<typeof schema>
/** A checked configuration with all defaults filled in, those of its profile, too. `wan` and `wanAddress` have become `wans`. */
export type Config = Omit<CheckedConfig, 'socket' | 'wan' | 'wanAddress' | keyof Profile> & Profile & { socket: string; wans: readonly UplinkConfig[] }

const isMapping = (value: unknown): value is Record<string, unknown> => typeof value === 'object' && value !== null && !Array.isArray(value)

/** What was given, over what the profile says. */
const over = <T>(given: unknown, profile: T): T => {
  if (given === undefined) return profile
  if (!isMapping(given) || !isMapping(profile)) return given as T
  return Object.fromEntries([...new Set([...Object.keys(profile), ...Object.keys(given)])].map((key) => [key, over(given[key], profile[key])])) as T
}

/** Where in its source a value stands. */
export interface ConfigPlace {
  /** Put before the message, e.g. `tsnat.yaml:3:5` or `--limit flows`; may be empty. */
  text: string
  /** The value came from the command line, which makes the error one of usage. */
  flag: boolean
}
export type LocateConfig = (path: readonly PropertyKey[]) => ConfigPlace | undefined

interface JsonSchema {
  description?: string
  properties?: Record<string, JsonSchema>
  anyOf?: JsonSchema[]
  items?: JsonSchema
  required?: string[]
}

/** JSON Schema (draft 2020-12) of the configuration file. `wan` is not required there, as `--wan` may give it. */
export const configJsonSchema = (): Record<string, unknown> => {
  const { $schema, ...body } = z.toJSONSchema(schema, { io: 'input' })
  delete body.required
  return { $schema, title: 'tsnat configuration', description: 'Configuration of one tsnat instance.', ...body }
}

/** The part of the schema that describes `path`; of alternatives, the one that is a mapping. */
const schemaAt = (path: readonly PropertyKey[]): JsonSchema => {
  const mapping = (node: JsonSchema): JsonSchema => node.anyOf?.find((one) => one.properties !== undefined) ?? node
  let node = configJsonSchema() as JsonSchema
  const items = (node: JsonSchema): JsonSchema | undefined => node.items ?? node.anyOf?.find((one) => one.items !== undefined)?.items
  for (const step of path) node = (typeof step === 'number' ? items(node) : mapping(node).properties?.[String(step)]) ?? {}
  return path.length === 0 ? node : { ...mapping(node), ...(node.description === undefined ? {} : { description: node.description }) }
}

/** Of a failed union, the complaint of the alternative that the value was meant to be; the union's own otherwise. */
const innermost = (issue: z.core.$ZodIssue): z.core.$ZodIssue => {
  if (issue.code !== 'invalid_union') return issue
  // A value of the right shape fails deeper inside, or by its keys; one of the wrong shape fails at the union itself.
  const meant = issue.errors.find((issues) => issues.every((one) => one.path.length > 0 || one.code === 'unrecognized_keys'))
  const unknown = meant?.find((one) => one.code === 'unrecognized_keys') ?? meant?.[0]
  return unknown === undefined ? issue : innermost({ ...unknown, path: [...issue.path, ...unknown.path] })
}

const at = (value: unknown, path: readonly PropertyKey[]): unknown => {
  let node = value
  for (const step of path) node = typeof node === 'object' && node !== null ? (node as Record<PropertyKey, unknown>)[step] : undefined
  return node
}

const show = (value: unknown): string => {
  const shown = JSON.stringify(value) ?? String(value)
  return shown.length > 80 ? `${shown.slice(0, 77)}...` : shown
}

const prefix = (place: ConfigPlace | undefined): string => (place === undefined || place.text === '' ? '' : `${place.text}: `)

const explain = (found: z.core.$ZodIssue, input: unknown, locate: LocateConfig): TsnatError => {
  const issue = innermost(found)
  const unknownKey = issue.code === 'unrecognized_keys' ? issue.keys[0]! : undefined
  const path = unknownKey === undefined ? issue.path : [...issue.path, unknownKey]
  const place = locate(path)
  const make = (code: string, complaint: string, hint: string): TsnatError =>
    new TsnatError(`${prefix(place)}${complaint}`, {
      code,
      hint,
      exitCode: place?.flag === true ? ExitCode.usage : ExitCode.config,
    })
  const name = path.map(String).join('.')
  if (unknownKey !== undefined) {
    const known = Object.keys(schemaAt(issue.path).properties ?? {})
    const like = nearest(unknownKey, known)
    const guess = like === undefined ? '' : `did you mean "${like}"? `
    return make('CONFIG_UNKNOWN_KEY', `${name} is not a known key`, `${guess}Known here: ${known.join(', ')}`)
  }
  if (path.length === 0) {
    return make('CONFIG_INVALID', `the configuration is ${show(input)}, but ${issue.message}`, 'write "key: value" lines; see docs/configuration.md')
  }
  const value = at(input, path)
  if (name === 'wan' && value === undefined) {
    return make('CONFIG_NO_WAN', 'no WAN interface is given', 'name it with --wan eth0, or "wan: eth0" in the configuration file')
  }
  const complaint = value === undefined ? `${name} is missing; it ${issue.message}` : `${name} is ${show(value)}, but ${issue.message}`
  // An element of a list has no description of its own.
  const about = schemaAt(path).description ?? schemaAt(path.slice(0, -1)).description ?? 'see docs/configuration.md'
  return make('CONFIG_INVALID', complaint, `${name}: ${about}`)
}

/** Rules between keys. */
const conflict = ({ wanDriver, capture, netns, nat, forwards }: CheckedConfig): Conflict | undefined => {
  const unbounded = nat.rules.findIndex(({ translate, from }) => translate === false && from === undefined)
  if (unbounded >= 0) {
    const hint = 'write the network of the inside hosts whose addresses go out as they are: from: 10.77.0.0/24'
    return { path: ['nat', 'rules', String(unbounded)], message: `nat.rules.${unbounded} has translate: false, but no from`, hint }
  }
  if (wanDriver === 'raw' && nat.rules.some(({ translate }) => translate === false)) {
    const hint = 'raw sockets send from the kernel\'s own address only: use wanDriver "packet"'
    return { path: ['wanDriver'], message: 'wanDriver "raw" cannot leave addresses untranslated (nat.rules)', hint }
  }
  const pings = wanDriver === 'raw' ? forwards.find((text) => parseForward(text)?.protocol === PROTOCOL_ICMP) : undefined
  if (pings !== undefined) {
    const hint = 'the kernel answers pings of its addresses itself, beside a raw socket: use wanDriver "packet", or leave that forward out'
    return { path: ['forwards', String(forwards.indexOf(pings))], message: `wanDriver "raw" cannot forward pings ("${pings}")`, hint }
  }
  if (typeof capture !== 'object' || netns === undefined) return undefined
  const hint = 'with netns all traffic of that namespace enters the TUN: leave out capture'
  return { path: ['capture'], message: 'capture by iif and netns cannot go together', hint }
}

/**
 * Checks a configuration and fills in the defaults.
 * @param locate tells where the value at a path was written, for error messages
 * @throws TsnatError CONFIG_UNKNOWN_KEY, CONFIG_INVALID, CONFIG_NO_WAN, CONFIG_CONFLICT; exit code 78, or 64 for what a flag gave
 */
export const parseConfig = (input: unknown, locate: LocateConfig = () => undefined): Config => {
  const result = schema.safeParse(input)
  if (!result.success) throw explain(result.error.issues[0]!, input, locate)
  const { wan, wanAddress, ...rest } = result.data
  const { nat, timeouts, limits, profile } = rest
  const wans = uplinksOf({ wan, wanAddress })
  const config = { ...rest, ...over({ nat, timeouts, limits }, PROFILES[profile]), wans, socket: rest.socket ?? `${instanceDirectory(rest.name)}/control.sock` }
  const clash = conflict(result.data) ?? wanConflict(result.data, wans) ?? natConflict(config)
  if (clash !== undefined) {
    const place = locate(clash.path)
    throw new TsnatError(`${prefix(place)}${clash.message}`, {
      code: 'CONFIG_CONFLICT',
      hint: clash.hint,
      exitCode: place?.flag === true ? ExitCode.usage : ExitCode.config,
    })
  }
  return config
}
