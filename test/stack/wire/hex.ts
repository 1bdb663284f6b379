/** Bytes from hex digits; blanks are for the eye. */
export const fromHex = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text.replaceAll(/\s/g, ''), 'hex'))

export const toHex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex')

export const viewOf = (bytes: Uint8Array): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)

/** The bytes at address `at`, with others before and behind them, so that a wrong base address shows. */
export const embed = (bytes: Uint8Array, at: number): DataView => {
  const room = new Uint8Array(bytes.length + at + 16).fill(0xee)
  room.set(bytes, at)
  return viewOf(room)
}
