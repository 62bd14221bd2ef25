// Opens "Show the code for this". What draws it is fetched when somebody first wants it.

import { complain } from "../core/notices.js";
import { didNotCome } from "../ui/later.js";

export async function openCode() {
  try {
    (await import("./code/dialog.js")).open();
  } catch (error) {
    complain(new Error(didNotCome(), { cause: error }));
  }
}
