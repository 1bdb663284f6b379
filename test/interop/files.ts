/** Big files of random content, and what became of them. */
import { createCipheriv, createHash, randomBytes } from 'node:crypto'
import { closeSync, createReadStream, openSync, writeSync } from 'node:fs'

const CHUNK = 8 << 20

/** Writes a file of random bytes; returns its SHA-256 in hexadecimal digits. */
export const randomFile = (path: string, bytes: number): string => {
  const random = createCipheriv('aes-128-ctr', randomBytes(16), randomBytes(16))
  const hash = createHash('sha256')
  const zeros = Buffer.alloc(CHUNK)
  const file = openSync(path, 'w')
  for (let left = bytes; left > 0; left -= CHUNK) {
    const chunk = random.update(left < CHUNK ? zeros.subarray(0, left) : zeros)
    hash.update(chunk)
    writeSync(file, chunk)
  }
  closeSync(file)
  return hash.digest('hex')
}

/** SHA-256 of a file, in hexadecimal digits. */
export const sha256 = async (path: string): Promise<string> => {
  const hash = createHash('sha256')
  for await (const chunk of createReadStream(path, { highWaterMark: 1 << 20 })) hash.update(chunk as Buffer)
  return hash.digest('hex')
}
