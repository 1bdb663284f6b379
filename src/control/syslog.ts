/**
 * Sends syslog messages: to a collector by UDP in the form of RFC 5424, one a datagram (RFC 5426), or to the daemon of this host
 * by its Unix socket in the form that daemons expect there. Facility local0, severity informational.
 *
 * Nothing here waits: messages that cannot go at once queue up, and beyond a bound they are lost and counted. Node has no Unix
 * datagram sockets of its own, hence the addon.
 */
import { createSocket, type Socket } from 'node:dgram'
import { lookup } from 'node:dns/promises'
import { hostname } from 'node:os'
import { native } from '../native.js'
import type { SyslogTarget } from '../syslog-target.js'

/** local0 (16) and informational (6). */
const PRIORITY = 16 * 8 + 6
/** Messages that wait at most. */
const BACKLOG = 65536
/** Bytes that the socket holds back at most. */
const SEND_QUEUE = 4 << 20
/** Milliseconds until a full Unix socket, a name that is not known, is tried again. */
const UNIX_PAUSE = 1
const LOOKUP_PAUSE = 10_000
/** Milliseconds that the end may take. */
const CLOSE_MILLISECONDS = 1000

export interface SyslogMessage {
  /** Milliseconds since 1970. */
  readonly time: number
  /** What kind of message: MSGID of RFC 5424, at most 32 printable characters. */
  readonly id: string
  readonly text: string
}

const MONTHS = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec']
const two = (value: number): string => String(value).padStart(2, '0')

/** RFC 5424 6. @param host name of this host */
export const formatRfc5424 = ({ time, id, text }: SyslogMessage, host = hostname(), pid = process.pid): string => {
  const name = host.replaceAll(/[^!-~]/g, '').slice(0, 255)
  return `<${PRIORITY}>1 ${new Date(time).toISOString()} ${name === '' ? '-' : name} tsnat ${pid} ${id} - ${text}`
}

/** As syslog(3) writes to the daemon of the same host (RFC 3164 4.1 without host name), in local time; it has seconds only. */
export const formatLocal = ({ time, text }: SyslogMessage, pid = process.pid): string => {
  const date = new Date(time)
  const day = String(date.getDate()).padStart(2)
  return `<${PRIORITY}>${MONTHS[date.getMonth()]} ${day} ${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())} tsnat[${pid}]: ${text}`
}

export class Syslog {
  readonly #target: SyslogTarget
  readonly #onTrouble: (error: Error | null) => void
  readonly #socket: Socket | undefined
  #backlog: string[] = []
  /** Where the collector is; undefined until its name is known. */
  #address: string | undefined
  #timer: NodeJS.Timeout | undefined
  #underWay = 0
  #inTrouble = false
  #isClosed = false
  /** Messages that were given up. */
  lost = 0

  /** @param onTrouble told when messages begin to fail, and (null) when they go out again */
  constructor(target: SyslogTarget, onTrouble: (error: Error | null) => void) {
    this.#target = target
    this.#onTrouble = onTrouble
    if (target.kind === 'unix') return
    this.#socket = createSocket(target.isIpv6 ? 'udp6' : 'udp4').unref()
    this.#socket.on('error', (error) => this.#fail(error))
    void this.#resolve(target.host, target.isIpv6 ? 6 : 4)
  }

  /** Never throws. What is lost is counted, at once or later. */
  send(message: SyslogMessage): void {
    if (this.#isClosed || this.#backlog.length >= BACKLOG) {
      this.lost++
      return
    }
    this.#backlog.push(this.#target.kind === 'unix' ? formatLocal(message) : formatRfc5424(message))
  }

  /** Sends what has been given to `send`, as far as it goes. */
  flush(): void {
    if (this.#backlog.length === 0 || this.#timer !== undefined) return
    if (this.#target.kind === 'unix') this.#sendUnix(this.#target.path)
    else if (this.#address !== undefined) this.#sendUdp(this.#address, this.#target.port)
  }

  /** Lets what waits go out, for a second at most. */
  async close(): Promise<void> {
    const end = Date.now() + CLOSE_MILLISECONDS
    this.flush()
    while ((this.#backlog.length > 0 || this.#underWay > 0) && Date.now() < end) await new Promise((resolve) => setTimeout(resolve, 5))
    this.#isClosed = true
    this.lost += this.#backlog.length
    this.#backlog = []
    clearTimeout(this.#timer)
    this.#socket?.close()
  }

  async #resolve(host: string, family: 4 | 6): Promise<void> {
    try {
      this.#address = (await lookup(host, { family })).address
      this.flush()
    } catch (error) {
      this.#fail(error as Error)
      if (!this.#isClosed) setTimeout(() => void this.#resolve(host, family), LOOKUP_PAUSE).unref()
    }
  }

  #sendUdp(address: string, port: number): void {
    const socket = this.#socket!
    for (const message of this.#backlog) {
      if (socket.getSendQueueSize() > SEND_QUEUE) {
        this.lost++
        continue
      }
      this.#underWay++
      socket.send(message, port, address, (error) => {
        this.#underWay--
        if (error === null) return this.#recover()
        this.lost++
        this.#fail(error)
      })
    }
    this.#backlog = []
  }

  #sendUnix(path: string): void {
    const messages = this.#backlog
    let sent = 0
    try {
      for (; sent < messages.length; sent++) native().unixDatagram(path, messages[sent]!, false)
      this.#recover()
    } catch (cause) {
      const error = cause as NodeJS.ErrnoException
      if (error.code === 'EAGAIN') {
        // The daemon is busy. It is given a moment, and then the rest.
        this.#timer = setTimeout(() => {
          this.#timer = undefined
          this.flush()
        }, UNIX_PAUSE)
      } else {
        this.lost += messages.length - sent
        sent = messages.length
        this.#fail(error)
      }
    }
    this.#backlog = sent === messages.length ? [] : messages.slice(sent)
  }

  #fail(error: Error): void {
    if (this.#inTrouble || this.#isClosed) return
    this.#inTrouble = true
    this.#onTrouble(error)
  }

  #recover(): void {
    if (!this.#inTrouble) return
    this.#inTrouble = false
    this.#onTrouble(null)
  }
}
