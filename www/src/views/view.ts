/** A page of the page; all are made once, and one is shown. */
export interface View {
  root: HTMLElement;
  /** It is about to be seen. */
  shown?(): void;
}
