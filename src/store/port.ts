/**
 * The storage port: what a standalone MongoDB and an embedded SQLite can both keep, and nothing more (ADR 0002).
 *
 * Paths are member names joined by dots (`holds.abc.amount`); a segment matches `[A-Za-z0-9_:-]{1,128}`. In a guard or a change
 * a segment but the first may be `*` (`holds.*.amount`), which stands for its `key`: paths that are new each time cost more
 * to make and to read than all else.
 * Every operation is atomic by itself and durable when its promise resolves.
 */
export type Scalar = string | number | boolean | null

export interface Document {
  id: string
}

/** All conditions must hold, else the operation changes nothing and answers false. */
export interface Guard {
  /** What `*` stands for; not in queries. */
  key?: string
  /** The member is there and equal. `null` matches a stored null only. */
  equal?: Record<string, Scalar>
  /** The member is there and >= the bound. */
  gte?: Record<string, number | string>
  /** The member is there and < the bound. */
  lt?: Record<string, number | string>
  /** Whether the member is there. */
  exists?: Record<string, boolean>
}

export interface Change {
  /** What `*` stands for. */
  key?: string
  /** Values become part of the document; parents of a path are created. */
  set?: Record<string, unknown>
  /** Safe integers; an absent member counts as 0. */
  inc?: Record<string, number>
  /** The larger of the stored and the given number; an absent member is set. */
  max?: Record<string, number>
  unset?: string[]
}

/**
 * A document of another collection that appears there exactly once if and only if the operation applied. Its id is new and
 * never used again: SQLite refuses the operation otherwise, MongoDB keeps the document that was there first.
 */
export interface Append {
  collection: string
  document: Document
}

export interface ListQuery {
  /** Equality and range conditions; bounded by an index declared in collections.ts. */
  where?: Guard
  /** Sorted by this member, ties by id in the same direction. Default: by id, ascending. */
  order?: { by: string; direction: 'asc' | 'desc' }
  /** Start behind this row of the order: the value of `order.by` and the id. */
  after?: { value: Scalar; id: string }
  /** 1–1000. */
  limit: number
}

export interface Collection<D extends Document> {
  /** False if the id or a unique key is taken; then nothing is stored or appended. */
  insert(document: D, append?: Append[]): Promise<boolean>
  get(id: string): Promise<D | undefined>
  /**
   * The same for those who ask with every request: what another process has changed may take as long to show as a message
   * takes, a second at most. Others are given the same object; what is written because of it needs its guard.
   */
  recent(id: string): Promise<D | undefined>
  /** False if there is no such document, the guard does not hold, or a unique key would be taken twice. */
  update(id: string, guard: Guard, change: Change, append?: Append[]): Promise<boolean>
  /** The same, answering the document as the change has left it; undefined where `update` answers false. */
  updated(id: string, guard: Guard, change: Change, append?: Append[]): Promise<D | undefined>
  /** False if there is no such document or the guard does not hold. */
  remove(id: string, guard?: Guard): Promise<boolean>
  list(query: ListQuery): Promise<D[]>
  /** Number of documents that match. */
  count(where: Guard): Promise<number>
}

/**
 * How often rows of some collections were changed. The same count in two looks: a row that was read after the first was
 * answered has not been changed by anything that was acknowledged before the second began.
 */
export interface Marks {
  /** One look for all rows. */
  look(): Promise<CountOf>
}

/** Undefined while a row may be changing, and for collections that are not marked. What appears is no change. */
export type CountOf = (collection: string, id: string) => number | undefined

export interface Store {
  readonly kind: 'sqlite' | 'mongodb'
  /**
   * Writes asked for in one turn of the event loop never become durable without those that were asked for before them, unless
   * these were refused, each for its own sake: by their guard, a taken key, or a document that the store does not take.
   */
  readonly commitsInOrder: boolean
  /** Where reading is a way to another machine. */
  readonly marks?: Marks
  collection<D extends Document>(name: string): Collection<D>
  /** Resolves when the store answers. @throws store_unavailable */
  ping(): Promise<void>
  /** Finishes what processes that died have left; whoever reads would do it too, only later. Needed about every ten seconds. */
  maintain(): Promise<void>
  /** Waits for what is under way, then releases the store. */
  close(): Promise<void>
}

/** What an adapter must know of a collection; the list is collections.ts. */
export interface CollectionSpec {
  name: string
  /** Form of its documents, 1 when absent; the steps between two forms are in collections.ts. */
  version?: number
  /** Members that are unique together: texts, never null. Documents lacking one of them are outside the rule. */
  unique?: string[][]
  /** Members of one index, in order: equality members first, then the order member (ties by id are added). */
  indexes?: string[][]
  /** Indexes, also named above, that need only know documents in which these members are so large: lists that use them ask for it. */
  partial?: { members: string[]; least: Record<string, number> }[]
  /** Members that may never become negative, checked by the database itself where it can. */
  nonNegative?: string[]
  /** Its rows are asked for with every request and hardly change: a store that has marks marks their changes. */
  isMarked?: boolean
  /** Collections whose operations append to this one; such a collection has no unique members. */
  appendedFrom?: string[]
}
