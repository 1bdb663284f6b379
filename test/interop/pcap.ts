/** Reads what tcpdump wrote. */
import { readFileSync } from 'node:fs'

const HEADER = 24
const RECORD = 16
const LINKTYPE_ETHERNET = 1
const MAGIC = 0xa1b2c3d4
const ETHERNET = 14
const TYPE_IPV4 = 0x0800

/** The IPv4 packets of a capture file on Ethernet, in their order. @throws Error when it is none, or a packet was cut short */
export const readPackets = (path: string): Uint8Array[] => {
  const file = readFileSync(path)
  const little = file.readUInt32LE(0) === MAGIC
  const word = (at: number): number => (little ? file.readUInt32LE(at) : file.readUInt32BE(at))
  if (word(0) !== MAGIC || word(20) !== LINKTYPE_ETHERNET) throw new Error(`${path} is no capture of Ethernet`)
  const packets: Uint8Array[] = []
  for (let at = HEADER; at < file.length;) {
    const length = word(at + 8)
    if (length !== word(at + 12)) throw new Error(`${path} has a packet that was cut short`)
    const frame = at + RECORD
    at = frame + length
    if (file.readUInt16BE(frame + 12) === TYPE_IPV4) packets.push(file.subarray(frame + ETHERNET, at))
  }
  return packets
}
