/** One entry of a listing, as text and as the object of `ip -j`. */
export type Json = string | number | boolean | null | readonly Json[] | { readonly [key: string]: Json }

export class Printed {
  text = ''
  readonly json: Record<string, Json> = {}

  /** @param text as it stands in the text; what `-j` leaves out has no key */
  add(text: string, key: string | null = null, value: Json = null): void {
    this.text += text
    if (key !== null) this.json[key] = value
  }
}

/** Text, or JSON in one line, or indented. */
export interface PrintOptions {
  readonly json: boolean
  readonly pretty: boolean
  /** One entry a line. */
  readonly oneLine: boolean
  /** Also what goes without saying. */
  readonly details: boolean
}

const indented = (value: Json, depth: number): string => {
  const pad = '    '.repeat(depth)
  if (Array.isArray(value)) {
    const entries = (value as readonly Json[]).map((each) => indented(each, depth + 1))
    return entries.length === 0 ? '[ ]' : `[ ${entries.join(',')} ]`
  }
  if (value === null || typeof value !== 'object') return JSON.stringify(value)
  const entries = Object.entries(value as Record<string, Json>).map(([key, each]) => `${pad}    ${JSON.stringify(key)}: ${indented(each, depth + 1)}`)
  return `{\n${entries.join(',\n')}\n${pad}}`
}

export const printAll = (entries: readonly Printed[], { json, pretty, oneLine }: PrintOptions): string => {
  if (!json) return entries.map(({ text }) => `${oneLine ? text.replaceAll('\n', '\\') : text}\n`).join('')
  const value = entries.map((entry) => entry.json)
  return `${pretty ? indented(value, 0) : JSON.stringify(value)}\n`
}
