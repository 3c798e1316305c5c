// Puts runbooks into JupyterLab's Launcher, which takes no entries from settings. JupyterLab loads this
// as it loads every extension: a container of module federation, short enough to be written by hand.
(() => {
  const RUNBOOKS = [];
  let shared;
  /** A module of JupyterLab's own, so that its tokens are the same. */
  const take = async (name) => (await Object.values(shared[name])[0].get())();
  const get = async () => {
    const [{ ILauncher }, { notebookIcon }] = await Promise.all([take("@jupyterlab/launcher"), take("@jupyterlab/ui-components")]);
    const activate = ({ commands }, launcher) => {
      commands.addCommand("opskit:runbook", {
        label: ({ label }) => label, caption: ({ path }) => path, icon: notebookIcon,
        execute: ({ path }) => commands.execute("docmanager:open", { path }),
      });
      RUNBOOKS.forEach((args, rank) => launcher.add({ command: "opskit:runbook", args, category: "Runbooks", rank }));
    };
    const plugin = { id: "opskit-runbooks:launcher", autoStart: true, requires: [ILauncher], activate };
    return () => ({ __esModule: true, default: plugin });
  };
  (window._JUPYTERLAB ??= {})["opskit-runbooks"] = { init: (scope) => { shared = scope; }, get };
})();
