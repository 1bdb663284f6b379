/** A DNS responder (RFC 1035) for the names `host-N.example.test`, N of 0-255: A records in 198.51.100.0/24. */
import { createSocket } from 'node:dgram'
import type { RemoteInfo } from 'node:dgram'

const HEADER = 12
const TYPE_A = 1
const CLASS_IN = 1
const RESPONSE_AUTHORITATIVE = 0x8400
const NAME_ERROR = 3
/** Compression pointer to the question's name, right after the header. */
const POINTER_TO_QUESTION = 0xc000 | HEADER

/** Labels of the question's name, and where its type begins; null when the query is malformed. */
const readName = (query: Buffer): { name: string; end: number } | null => {
  const labels: string[] = []
  let at = HEADER
  for (;;) {
    const length = query[at]
    if (length === undefined || length > 63) return null
    at++
    if (length === 0) break
    labels.push(query.toString('latin1', at, at + length))
    at += length
  }
  return at + 4 <= query.length ? { name: labels.join('.').toLowerCase(), end: at } : null
}

/** The answer to a query of one question; null when it is not one. */
export const answerQuery = (query: Buffer): Buffer | null => {
  if (query.length < HEADER || query.readUInt16BE(4) !== 1 || (query[2] as number) >= 0x80) return null
  const question = readName(query)
  if (question === null) return null
  const host = /^host-(\d{1,3})\.example\.test$/.exec(question.name)?.[1]
  const known = host !== undefined && Number(host) < 256
  const asked = query.readUInt16BE(question.end) === TYPE_A && query.readUInt16BE(question.end + 2) === CLASS_IN
  const header = Buffer.from(query.subarray(0, HEADER))
  header.writeUInt16BE(RESPONSE_AUTHORITATIVE | (query.readUInt16BE(2) & 0x0100) | (known ? 0 : NAME_ERROR), 2)
  header.writeUInt16BE(known && asked ? 1 : 0, 6)
  header.writeUInt32BE(0, 8)
  const parts = [header, query.subarray(HEADER, question.end + 4)]
  if (known && asked) {
    const record = Buffer.alloc(16)
    record.writeUInt16BE(POINTER_TO_QUESTION, 0)
    record.writeUInt16BE(TYPE_A, 2)
    record.writeUInt16BE(CLASS_IN, 4)
    record.writeUInt32BE(60, 6)
    record.writeUInt16BE(4, 10)
    record.set([198, 51, 100, Number(host)], 12)
    parts.push(record)
  }
  return Buffer.concat(parts)
}

/** Answers on a UDP port, until the process ends. */
export const serveDns = async (port: number, onQuery: (from: RemoteInfo) => void): Promise<void> => {
  const socket = createSocket('udp4')
  socket.on('message', (query, from) => {
    onQuery(from)
    const answer = answerQuery(query)
    if (answer !== null) socket.send(answer, from.port, from.address)
  })
  await new Promise<void>((resolve, reject) => {
    socket.once('error', reject)
    socket.bind(port, resolve)
  })
}
