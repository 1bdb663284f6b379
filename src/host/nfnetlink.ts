/**
 * Transactions of nf_tables over a netlink socket of package `netlink`: all operations of one take effect together, or none.
 *
 * The socket also owns the tables made over it: they vanish when it is closed, however the process ends.
 */
import { HEADER_LENGTH, parseError, parseMessages, Protocol, RawNetlinkSocket } from 'netlink'
import type { NetlinkMessage } from 'netlink'
import type { NetworkNamespace } from './namespace.js'
import { errnoName, NetlinkError } from './netlink-error.js'
import type { NftMessage } from './nft-messages.js'

const SUBSYSTEM_NFTABLES = 10
const BATCH_BEGIN = 16
const BATCH_END = 17
const NLM_F_REQUEST = 1
const NLM_F_ACK = 4
const MESSAGE_ERROR = 2
const BUFFER_SIZE = 212992
const TIMEOUT_MILLISECONDS = 10_000

/** A header of netlink, and one of nfnetlink. */
const encode = (type: number, flags: number, sequence: number, family: number, resource: number, attributes: Buffer): Buffer => {
  const bytes = Buffer.alloc(HEADER_LENGTH + 4 + attributes.length)
  bytes.set(new Uint8Array(Uint32Array.of(bytes.length).buffer), 0)
  bytes.set(new Uint8Array(Uint16Array.of(type, flags).buffer), 4)
  bytes.set(new Uint8Array(Uint32Array.of(sequence, 0).buffer), 8)
  bytes[HEADER_LENGTH] = family
  bytes.writeUInt16BE(resource, HEADER_LENGTH + 2)
  bytes.set(attributes, HEADER_LENGTH + 4)
  return bytes
}

interface Pending {
  /** Sequence number of the batch's begin; its operations follow. */
  first: number
  operations: readonly NftMessage[]
  resolve(): void
  reject(error: NetlinkError): void
}

export class Nfnetlink {
  readonly #socket: RawNetlinkSocket
  #sequence = 1
  #pending: Pending | null = null
  #last: Promise<unknown> = Promise.resolve()
  #closed = false

  /** @throws NetlinkError, EPROTONOSUPPORT where the kernel has no netfilter */
  constructor(namespace: NetworkNamespace) {
    try {
      this.#socket = namespace.run(() =>
        new RawNetlinkSocket(Protocol.NETFILTER, { recvBufferSize: BUFFER_SIZE, sendBufferSize: BUFFER_SIZE }))
    } catch (cause) {
      throw new NetlinkError('open a netfilter socket', (cause as { code?: string }).code ?? 'unknown', cause)
    }
    this.#socket.on('message', (datagram) => this.#onAnswer(datagram))
    this.#socket.on('error', () => {})
    // What keeps the process alive is the gateway; this socket just has to stay open.
    this.#socket.unref()
  }

  /** Also removes the tables that this socket owns. */
  close(): void {
    if (this.#closed) return
    this.#closed = true
    this.#socket.close()
    this.#pending?.reject(new NetlinkError('finish a netfilter transaction', 'EBADF'))
  }

  /** Carries out all operations together. @throws NetlinkError naming the first operation that was refused */
  transaction(operations: readonly NftMessage[]): Promise<void> {
    const turn = this.#last.then(() => this.#send(operations))
    this.#last = turn.catch(() => {})
    return turn
  }

  async #send(operations: readonly NftMessage[]): Promise<void> {
    if (this.#closed) throw new NetlinkError('start a netfilter transaction', 'EBADF')
    const first = this.#sequence
    this.#sequence += operations.length + 2
    const bodies = operations.map(({ type, family, flags, attributes }, i) => {
      // Refusals come unasked; one acknowledgement, of the last operation, is enough.
      const acknowledge = i === operations.length - 1 ? NLM_F_ACK : 0
      return encode((SUBSYSTEM_NFTABLES << 8) | type, NLM_F_REQUEST | flags | acknowledge, first + 1 + i, family, 0, attributes)
    })
    const batch = Buffer.concat([
      encode(BATCH_BEGIN, NLM_F_REQUEST, first, 0, SUBSYSTEM_NFTABLES, Buffer.alloc(0)),
      ...bodies,
      encode(BATCH_END, NLM_F_REQUEST, first + 1 + operations.length, 0, SUBSYSTEM_NFTABLES, Buffer.alloc(0)),
    ])
    let timer: NodeJS.Timeout | undefined
    this.#socket.ref()
    try {
      await new Promise<void>((resolve, reject) => {
        this.#pending = { first, operations, resolve, reject }
        timer = setTimeout(() => reject(new NetlinkError('finish a netfilter transaction', 'ETIMEDOUT')), TIMEOUT_MILLISECONDS)
        this.#socket.send(batch, undefined, (error) => {
          if (error !== undefined) reject(new NetlinkError('send a netfilter transaction', error.code, error))
        })
      })
    } finally {
      clearTimeout(timer)
      this.#pending = null
      if (!this.#closed) this.#socket.unref()
    }
  }

  /** Must not throw: the package would abort the process. */
  #onAnswer(datagram: Buffer): void {
    try {
      for (const message of parseMessages(datagram)) this.#settle(message)
    } catch (cause) {
      this.#pending?.reject(new NetlinkError('understand the answer of netfilter', 'EBADMSG', cause))
    }
  }

  #settle({ type, seq, data, flags }: NetlinkMessage): void {
    const pending = this.#pending
    if (pending === null || type !== MESSAGE_ERROR) return
    // -1 is the begin of the batch, which stands for the whole.
    const index = seq - pending.first - 1
    if (index < -1 || index > pending.operations.length) return
    const { errno } = parseError(data, flags)
    // Answers come in order, so a refusal is seen before the acknowledgement of the last operation.
    if (errno === 0) pending.resolve()
    else pending.reject(new NetlinkError(pending.operations[index]?.what ?? 'make a change to netfilter', errnoName(-errno)))
  }
}
