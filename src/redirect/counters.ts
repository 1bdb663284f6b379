/** What a redirector counts. Plain numbers, all from its start on but those that say "now". */

export interface RedirectCounters {
  tcp: {
    /** Connections now, those that are being dialled among them. */
    active: number
    /** Connections that were relayed. */
    opened: number
    /** Clients that got a RST since the upstream could not be reached, or would not connect. */
    failed: number
    /** Clients that got a RST at once: too many connections, or a destination that is the redirector itself. */
    refused: number
    /** Relayed connections that ended with a RST, an error or by being idle. */
    broken: number
    /** Bytes of clients, and for them. */
    sent: number
    received: number
  }
  udp: {
    /** Associations now: one for each client's endpoint. */
    active: number
    opened: number
    /** Associations that the upstream could not be reached for, or refused. */
    failed: number
    /** Associations that gave way to others, since there were too many. */
    displaced: number
    /** Datagrams of clients, and for them. */
    sent: number
    received: number
    /** Datagrams that were not relayed: no association, too many waiting for one, a header that is not understood, an error. */
    dropped: number
  }
}

export const createCounters = (): RedirectCounters => ({
  tcp: { active: 0, opened: 0, failed: 0, refused: 0, broken: 0, sent: 0, received: 0 },
  udp: { active: 0, opened: 0, failed: 0, displaced: 0, sent: 0, received: 0, dropped: 0 },
})
