/** The Link header of a bare array that goes on: the same request with the cursor of its next page. */
export function nextLink(url: string, cursor: string): string {
  const [path = '', query = ''] = url.split('?', 2)
  const members = new URLSearchParams(query)
  members.set('cursor', cursor)
  return `<${path.replace(/[<>"]/g, encodeURIComponent)}?${members.toString()}>; rel="next"`
}
