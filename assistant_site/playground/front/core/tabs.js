// What the tabs of one browser tell each other: that a run has begun, that a list has changed.

const channel = new BroadcastChannel("holdfast.news");
const hearing = new Set();
channel.onmessage = ({ data }) => hearing.forEach((hear) => hear(data));

/** Tells the other tabs, not this one. `news` is an object with a `type`. */
export const tell = (news) => channel.postMessage(news);

/** Calls `hear` with what other tabs tell; returns what ends that. */
export function hear(listener) {
  hearing.add(listener);
  return () => hearing.delete(listener);
}
