// The lists of pages and of failed scans.

import "./scans.js";
import { start } from "./start.js";

start();
