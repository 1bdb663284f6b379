/** Reads configuration files: YAML with line and column in every complaint, and flags laid over it. */
import { readFileSync } from 'node:fs'
import { isMap, isNode, isScalar, isSeq, LineCounter, parseDocument } from 'yaml'
import type { Document } from 'yaml'
import { parseConfig } from './config.js'
import type { Config, ConfigPlace, LocateConfig } from './config.js'
import { ExitCode, TsnatError } from './errors.js'
import { fileReason } from './file-reason.js'

/** A mapping that was not checked yet. */
export type RawConfig = Record<string, unknown>

export interface ConfigFile {
  value: unknown
  locate: LocateConfig
}

/** Without a file, what is missing is missing on the command line. */
const COMMAND_LINE: ConfigPlace = { text: '', flag: true }

const isMapping = (value: unknown): value is RawConfig => typeof value === 'object' && value !== null && !Array.isArray(value)

const problem = (code: string, message: string, hint: string, cause?: unknown): TsnatError =>
  new TsnatError(message, { code, hint, exitCode: ExitCode.config, cause })

const readText = (path: string): string => {
  try {
    return readFileSync(path, 'utf8')
  } catch (error) {
    throw problem('CONFIG_READ', `cannot read the configuration file ${path}: ${fileReason(error)}`, 'check the path given with --config', error)
  }
}

/** Offset of the key, or the element of a list, that `path` ends with; when the key is not there, of the nearest mapping above that is. */
const offsetOf = (document: Document, path: readonly PropertyKey[]): number | undefined => {
  let node: unknown = document.contents
  let offset = isNode(node) ? node.range?.[0] : undefined
  for (const step of path) {
    if (isMap(node)) {
      const pair = node.items.find(({ key }) => isScalar(key) && key.value === step)
      if (pair === undefined) return offset
      if (isNode(pair.key)) offset = pair.key.range?.[0] ?? offset
      node = pair.value
    } else if (isSeq(node) && isNode(node.items[Number(step)])) {
      node = node.items[Number(step)]
      if (isNode(node)) offset = node.range?.[0] ?? offset
    } else {
      return offset
    }
  }
  return offset
}

/**
 * Parses YAML (or JSON, which is YAML too).
 * @param name of the file, for messages
 * @throws TsnatError CONFIG_SYNTAX with line and column
 */
export const parseConfigText = (source: string, name: string): ConfigFile => {
  const lines = new LineCounter()
  const document = parseDocument(source, { lineCounter: lines, prettyErrors: false, uniqueKeys: true })
  const error = document.errors[0]
  if (error !== undefined) {
    const { line, col } = lines.linePos(error.pos[0])
    const hint = 'mend the YAML at that place; indentation is by spaces'
    throw problem('CONFIG_SYNTAX', `${name}:${line}:${col}: ${error.message}`, hint, error)
  }
  const locate = (path: readonly PropertyKey[]): ConfigPlace => {
    const offset = offsetOf(document, path)
    if (offset === undefined) return { text: name, flag: false }
    const { line, col } = lines.linePos(offset)
    return { text: `${name}:${line}:${col}`, flag: false }
  }
  try {
    // An empty file, or one of comments only, gives no setting.
    return { value: document.toJS() ?? {}, locate }
  } catch (cause) {
    // Aliases without an anchor, or too many of them.
    throw problem('CONFIG_SYNTAX', `${name}: ${(cause as Error).message}`, 'mend the YAML', cause)
  }
}

/** Lays `over` upon `base`, key by key where both are mappings. */
export const mergeConfig = (base: unknown, over: RawConfig): unknown => {
  if (!isMapping(base)) return base
  const merged: RawConfig = { ...base }
  for (const [key, value] of Object.entries(over)) {
    merged[key] = isMapping(merged[key]) && isMapping(value) ? mergeConfig(merged[key], value) : value
  }
  return merged
}

/**
 * Reads a file, lays what the flags gave over it, and checks the whole.
 * @param path undefined: no file, flags alone
 * @param flags as a file would say it
 * @param locateFlag names the flag that gave a path
 * @throws TsnatError CONFIG_READ, CONFIG_SYNTAX, and those of {@link parseConfig}
 */
export const loadConfig = (path: string | undefined, flags: RawConfig = {}, locateFlag: LocateConfig = () => undefined): Config => {
  const file = path === undefined ? undefined : parseConfigText(readText(path), path)
  return parseConfig(mergeConfig(file?.value ?? {}, flags), (where) => locateFlag(where) ?? file?.locate(where) ?? COMMAND_LINE)
}
