"""What is known of libraries: which calls change what, which share memory, which touch hidden state.

One table, as data.  :data:`FUNCTIONS` speaks of functions and classes by their dotted path (``numpy.random.*`` covers
all that begins so; the longest match wins), :data:`METHODS` of methods by their bare name, whoever the receiver is.
What the table does not name follows the plain rule: a call whose value is used changes nothing and may share what it
was given; a call whose value is thrown away changes its receiver, or its arguments.

Users extend it::

    KNOWLEDGE.learn(functions={"mylib.tidy": Rule(changes=(0,))}, methods={"refresh": Rule(changes=("self",))})
"""

from __future__ import annotations

from collections.abc import Mapping

from orch_notebook.model.cells.rules import Knowledge, Rule

__all__ = [
    "AMBIENT",
    "ATTRIBUTE_STATE",
    "DRAWING_WORDS",
    "DRAWS",
    "FIGURE_NAMES",
    "FILE_KEYWORDS",
    "FUNCTIONS",
    "KNOWLEDGE",
    "LOOKING_VERBS",
    "LOOKS_IN_MAIN",
    "MAGICS",
    "METHODS",
    "OBJECT",
    "PLAIN_ATTRIBUTES",
    "SAME_MEMORY",
    "SETTING_VERBS",
    "STYLE",
    "USUAL_NAMES",
    "state_of",
]


ITERATOR = (("stateful", "iterator"),)
RANDOM = "state:numpy.random"
STYLE = "state:matplotlib.rcParams"
#: Frames, series and arrays: containers whose methods hardly ever change them.
FRAME = (("type", "frame"),)
FIGURE = (("exclusive", "pyplot"),)
SEEDED = (("carries", RANDOM),)

#: What calling a class of a library gives: an object with a state of its own, which calling it may change or share.
OBJECT = ("made", "object")

PURE = Rule()
PLAIN = Rule(gives="plain")
VIEW = Rule(gives="view")
HOLDER = Rule(gives="holder")
MADE = Rule(gives="holder", kind=(OBJECT,))
COPY = Rule(gives="copy")
PLOTS = Rule(changes=("ax",), exclusive="pyplot", sees=(STYLE,), gives="drawing", kind=FIGURE)
#: Any method of a figure or of one of its parts.
DRAWS = Rule(changes=("self", "ax"), gives="drawing", kind=FIGURE, exclusive="pyplot", sees=(STYLE,))


def _each(names: str, rule: Rule, prefix: str = "") -> dict[str, Rule]:
    return {prefix + name: rule for name in names.split()}


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


#: Functions and classes by dotted path.
FUNCTIONS: Mapping[str, Rule] = {
    # Builtins.
    **_each(
        "abs all any ascii bin bool bytes callable chr complex divmod float format hasattr hash hex id int isinstance "
        "issubclass len oct ord pow range repr round str type display help dir print",
        PLAIN,
        "builtins.",
    ),
    **_each("max min sum getattr vars", Rule(gives="view"), "builtins."),
    **_each("list", Rule(gives="copy", kind=(("type", "list"),)), "builtins."),
    **_each("tuple sorted", Rule(gives="copy", kind=(("type", "list"),)), "builtins."),
    **_each("set frozenset", Rule(gives="copy", kind=(("type", "list"),)), "builtins."),
    "builtins.dict": Rule(gives="copy", kind=(("type", "dict"),)),
    **_each("bytearray slice object super property staticmethod classmethod", HOLDER, "builtins."),
    "builtins.memoryview": Rule(gives="first"),
    **_each("enumerate filter iter map reversed zip", Rule(gives="holder", kind=ITERATOR), "builtins."),
    "builtins.next": Rule(changes=(0,), gives="view"),
    "builtins.setattr": Rule(changes=(0,), stores=True),
    "builtins.delattr": Rule(changes=(0,)),
    "builtins.input": PLAIN,
    "builtins.open": Rule(gives="new", kind=(("stateful", "file"),), reads_file=0),
    **_each(
        "io.open codecs.open gzip.open bz2.open lzma.open tarfile.open zipfile.ZipFile h5py.File wave.open "
        "pandas.ExcelFile PIL.Image.open",
        Rule(gives="new", kind=(("stateful", "file"),), reads_file=0),
    ),
    **_each("shelve.open dbm.open", Rule(gives="new", kind=(("stateful", "file"),), writes_file=0)),
    "builtins.compile": PURE,
    **_each("itertools.*", Rule(gives="holder", kind=ITERATOR)),
    # Asked for a key that is not there, it makes one.
    "collections.defaultdict": Rule(gives="holder", kind=(("type", "dict"), ("filling", "dict"))),
    "functools.partial": HOLDER,
    "functools.reduce": Rule(gives="view"),
    "functools.*": HOLDER,
    **_each("copy.copy", COPY),
    "copy.deepcopy": PURE,
    **_each("math.* time.* datetime.* string.* re.* json.* textwrap.* statistics.* operator.* typing.*", PURE),
    "collections.*": HOLDER,
    "operator.itemgetter": HOLDER,
    **_each("heapq.heappop heapq.heapify", Rule(changes=(0,), gives="view")),
    **_each("heappush heappushpop heapreplace", Rule(changes=(0,), gives="view", stores=True), "heapq."),
    **_each("insort insort_left insort_right", Rule(changes=(0,), stores=True), "bisect."),
    # An element knows its children, and a child is changed by itself.
    **_each(
        "xml.etree.ElementTree.SubElement xml.etree.cElementTree.SubElement lxml.etree.SubElement",
        Rule(changes=(0,), gives="view", stores=True),
    ),
    "dataclasses.replace": HOLDER,
    "json.dump": Rule(changes=(1,)),
    "json.load": Rule(changes=(0,)),
    "pickle.dump": Rule(changes=(1,)),
    "pickle.load": Rule(changes=(0,)),
    "pickle.*": PURE,
    "csv.*": Rule(gives="holder", kind=ITERATOR),
    # Process-wide settings.
    "warnings.*": Rule(state=("state:warnings",)),
    "warnings.warn": PLAIN,
    "logging.getLogger": PURE,
    "logging.*": Rule(state=("state:logging",)),
    **_each("logging.debug logging.info logging.warning logging.error logging.exception", PLAIN),
    "orch_notebook.record": Rule(gives="view"),
    "asyncio.sleep": Rule(gives="view"),
    **_each("tqdm.tqdm.pandas tqdm.auto.tqdm.pandas tqdm.notebook.tqdm.pandas", Rule(state=("state:tqdm.pandas",))),
    **_each("rich.print rich.print_json rich.inspect tqdm.tqdm.write tqdm.auto.tqdm.write", PLAIN),
    "locale.*": Rule(state=("state:locale",)),
    "os.chdir": Rule(state=("state:cwd",)),
    "os.getcwd": Rule(sees=("state:cwd",), gives="plain"),
    **_each(
        "os.putenv os.unsetenv os.environ.update os.environ.setdefault os.environ.pop", Rule(state=("state:environ",))
    ),
    **_each("os.getenv os.environ.get os.environ.items os.environ.keys", Rule(sees=("state:environ",), gives="plain")),
    "os.path.*": PLAIN,
    **_each("os.path.join os.fspath os.path.expanduser", Rule(gives="path")),
    **_each(
        "os.path.exists os.path.isfile os.path.isdir os.path.getsize os.listdir os.scandir os.stat",
        Rule(gives="new", reads_file=0),
    ),
    **_each("glob.glob os.walk glob.iglob", Rule(gives="new", reads_file=0)),
    **_each(
        "os.makedirs os.mkdir os.remove os.unlink os.rmdir shutil.rmtree os.rename os.replace",
        Rule(gives="plain", writes_file=0),
    ),
    **_each(
        "shutil.copy shutil.copyfile shutil.move shutil.copytree", Rule(gives="plain", reads_file=0, writes_file=1)
    ),
    **_each("contextlib.redirect_stdout contextlib.redirect_stderr", Rule(state=("state:stdout",), gives="holder")),
    "sys.setrecursionlimit": Rule(state=("state:sys",)),
    **_each("decimal.getcontext decimal.localcontext", Rule(kind=(("carries", "state:settings"),))),
    "decimal.*": PURE,
    "gc.*": PLAIN,
    # Random numbers.
    "random.*": Rule(state=("state:random",), gives="view"),
    "random.shuffle": Rule(state=("state:random",), changes=(0,), gives="plain"),
    **_each("random.Random random.SystemRandom", Rule(kind=(("stateful", "rng"),))),
    "numpy.random.*": Rule(state=(RANDOM,)),
    "numpy.random.shuffle": Rule(state=(RANDOM,), changes=(0,), gives="plain"),
    **_each(
        "default_rng RandomState Generator PCG64 MT19937 Philox SeedSequence",
        Rule(gives="holder", kind=(("stateful", "rng"),)),
        "numpy.random.",
    ),
    **_each(
        "torch.manual_seed torch.seed torch.rand torch.randn torch.randint torch.randperm", Rule(state=("state:torch",))
    ),
    "torch.nn.*": Rule(state=("state:torch",), gives="holder", kind=(("carries", "state:torch"), OBJECT)),
    "torch.*": HOLDER,
    **_each("torch.tensor torch.zeros torch.ones torch.arange torch.linspace torch.eye torch.no_grad", PURE),
    **_each("torch.utils.data.DataLoader", Rule(gives="holder", kind=(("carries", "state:torch"),))),
    "torch.optim.*": MADE,
    "torch.Generator": Rule(kind=(("stateful", "rng"),)),
    "tensorflow.random.*": Rule(state=("state:tensorflow",)),
    # NumPy.
    "numpy.*": Rule(kind=FRAME),
    **_each(
        "asarray asanyarray ascontiguousarray atleast_1d atleast_2d atleast_3d broadcast_to broadcast_arrays diag "
        "diagonal expand_dims flip fliplr flipud moveaxis ravel real imag reshape rollaxis rot90 squeeze swapaxes "
        "transpose array_split split hsplit vsplit dsplit lib.stride_tricks.sliding_window_view "
        "lib.stride_tricks.as_strided nan_to_num require frombuffer asmatrix mat matrix einsum ma.array "
        "ma.masked_array ma.masked_where ma.masked_equal ma.asarray nditer",
        VIEW,
        "numpy.",
    ),
    **_each("nditer ndenumerate", Rule(gives="holder", kind=ITERATOR), "numpy."),
    **_each("copyto fill_diagonal place put put_along_axis putmask", Rule(changes=(0,), gives="plain"), "numpy."),
    # The third argument may be where the result goes.
    **_each(
        "add subtract multiply divide true_divide floor_divide mod power maximum minimum arctan2 logical_and "
        "logical_or dot matmul",
        Rule(kind=FRAME, changes=(2,)),
        "numpy.",
    ),
    **_each("set_printoptions seterr seterrcall", Rule(state=("state:display",)), "numpy."),
    **_each("load loadtxt genfromtxt fromfile memmap", Rule(reads_file=0), "numpy."),
    **_each("save savetxt savez savez_compressed", Rule(gives="plain", writes_file=0), "numpy."),
    **_each("vectorize frompyfunc poly1d", HOLDER, "numpy."),
    # pandas.
    "pandas.*": Rule(kind=FRAME),
    **_each("set_option reset_option options option_context", Rule(state=("state:display",), gives="new"), "pandas."),
    **_each("DataFrame Series Index Categorical", Rule(gives="holder", kind=FRAME), "pandas."),
    **_each(
        "read_csv read_excel read_json read_parquet read_pickle read_feather read_hdf read_table read_html read_xml "
        "read_stata read_sas read_spss read_fwf read_orc",
        Rule(reads_file=0, kind=FRAME),
        "pandas.",
    ),
    "pandas.ExcelWriter": Rule(writes_file=0, gives="holder", kind=(("stateful", "file"),)),
    "pandas.HDFStore": Rule(writes_file=0, gives="holder", kind=(("stateful", "file"),)),
    "pandas.plotting.*": PLOTS,
    # Formulas in texts.
    **_each("pandas.eval numexpr.evaluate patsy.* statsmodels.formula.api.*", Rule(gives="holder", quotes=True)),
    # Drawing.
    "matplotlib.*": Rule(gives="holder"),
    **_each(
        "use rc rcdefaults rc_file style.use style.context rc_context interactive", Rule(state=(STYLE,)), "matplotlib."
    ),
    "matplotlib.pyplot.*": PLOTS,
    **_each(
        "rc rcdefaults rc_context style.use style.context style.reload_library ion ioff switch_backend set_cmap xkcd "
        "viridis gray jet hot",
        Rule(state=(STYLE,), exclusive="pyplot"),
        "matplotlib.pyplot.",
    ),
    **_each("matplotlib.rcParams.* matplotlib.pyplot.rcParams.*", Rule(state=(STYLE,))),
    **_each(
        "matplotlib_inline.backend_inline.set_matplotlib_formats IPython.display.set_matplotlib_formats "
        "pandas.plotting.register_matplotlib_converters",
        Rule(state=(STYLE,)),
    ),
    # Pylab is pyplot and NumPy in one.
    "pylab.*": PLOTS,
    **_each(
        "abs arange arccos arcsin arctan array ceil concatenate cos cosh cross cumprod cumsum diag diff dot empty exp "
        "eye floor fft ifft hstack inv linspace log log10 logspace max mean meshgrid min mod norm ones outer pi prod "
        "real round sign sin sinh sort sqrt std sum tan tanh trapz var vstack where zeros",
        Rule(kind=FRAME),
        "pylab.",
    ),
    **_each("rand randn randint random normal uniform seed permutation choice", Rule(state=(RANDOM,)), "pylab."),
    "matplotlib.pyplot.cm.*": PURE,
    "matplotlib.pyplot.get_cmap": PURE,
    "matplotlib.pyplot.imread": Rule(reads_file=0),
    "matplotlib.pyplot.savefig": Rule(gives="plain", writes_file=0, exclusive="pyplot"),
    "matplotlib.pyplot.imsave": Rule(gives="plain", writes_file=0, exclusive="pyplot"),
    "seaborn.*": PLOTS,
    **_each(
        "set set_theme set_style set_context set_palette reset_defaults reset_orig set_color_codes "
        "axes_style plotting_context",
        Rule(state=(STYLE,), exclusive="pyplot"),
        "seaborn.",
    ),
    **_each("load_dataset color_palette get_dataset_names", Rule(kind=FRAME), "seaborn."),
    # Points are moved aside by chance.
    **_each(
        "stripplot catplot regplot lmplot palplot dogplot",
        Rule(changes=("ax",), exclusive="pyplot", sees=(STYLE,), state=(RANDOM,), gives="drawing", kind=FIGURE),
        "seaborn.",
    ),
    "pandas.plotting.bootstrap_plot": Rule(exclusive="pyplot", state=("state:random",), gives="drawing", kind=FIGURE),
    # scikit-learn and friends.
    "sklearn.*": Rule(gives="holder"),
    **_each("sklearn.metrics.* sklearn.datasets.* sklearn.preprocessing.* sklearn.feature_extraction.*", PURE),
    "sklearn.base.clone": PURE,
    "sklearn.set_config": Rule(state=("state:display",)),
    "sklearn.datasets.make_*": Rule(state=(RANDOM,), unless="random_state"),
    **_each("train_test_split", Rule(state=(RANDOM,), unless="random_state"), "sklearn.model_selection."),
    **_each("shuffle resample", Rule(state=(RANDOM,), unless="random_state"), "sklearn.utils."),
    **_each(
        "cross_val_score cross_validate cross_val_predict learning_curve validation_curve",
        Rule(gives="new"),
        "sklearn.model_selection.",
    ),
    # Those that draw from NumPy's generator when they are fitted and nobody gives them one.
    **_each(
        "cluster.AffinityPropagation cluster.BisectingKMeans cluster.KMeans cluster.MiniBatchKMeans "
        "cluster.SpectralBiclustering cluster.SpectralClustering cluster.SpectralCoclustering "
        "covariance.EllipticEnvelope covariance.MinCovDet decomposition.DictionaryLearning decomposition.FastICA "
        "decomposition.LatentDirichletAllocation decomposition.MiniBatchDictionaryLearning "
        "decomposition.MiniBatchNMF decomposition.MiniBatchSparsePCA decomposition.NMF decomposition.PCA "
        "decomposition.SparsePCA decomposition.TruncatedSVD ensemble.AdaBoostClassifier ensemble.AdaBoostRegressor "
        "ensemble.BaggingClassifier ensemble.BaggingRegressor ensemble.ExtraTreesClassifier "
        "ensemble.ExtraTreesRegressor ensemble.GradientBoostingClassifier ensemble.GradientBoostingRegressor "
        "ensemble.HistGradientBoostingClassifier ensemble.HistGradientBoostingRegressor ensemble.IsolationForest "
        "ensemble.RandomForestClassifier ensemble.RandomForestRegressor ensemble.RandomTreesEmbedding "
        "feature_selection.mutual_info_classif feature_selection.mutual_info_regression "
        "inspection.permutation_importance kernel_approximation.Nystroem kernel_approximation.PolynomialCountSketch "
        "kernel_approximation.RBFSampler kernel_approximation.SkewedChi2Sampler linear_model.ElasticNet "
        "linear_model.ElasticNetCV linear_model.Lasso linear_model.LassoCV linear_model.MultiTaskLasso "
        "linear_model.PassiveAggressiveClassifier linear_model.PassiveAggressiveRegressor linear_model.Perceptron "
        "linear_model.RANSACRegressor linear_model.SGDClassifier linear_model.SGDOneClassSVM "
        "linear_model.SGDRegressor linear_model.TheilSenRegressor manifold.Isomap manifold.LocallyLinearEmbedding "
        "manifold.MDS manifold.SpectralEmbedding manifold.TSNE mixture.BayesianGaussianMixture "
        "mixture.GaussianMixture model_selection.KFold model_selection.RandomizedSearchCV "
        "model_selection.GroupShuffleSplit model_selection.RepeatedKFold model_selection.RepeatedStratifiedKFold "
        "model_selection.ShuffleSplit model_selection.StratifiedKFold model_selection.StratifiedShuffleSplit "
        "multiclass.OutputCodeClassifier multioutput.ClassifierChain multioutput.RegressorChain "
        "neural_network.BernoulliRBM neural_network.MLPClassifier neural_network.MLPRegressor "
        "preprocessing.QuantileTransformer random_projection.GaussianRandomProjection "
        "random_projection.SparseRandomProjection svm.LinearSVC svm.LinearSVR svm.NuSVC svm.SVC "
        "tree.DecisionTreeClassifier tree.DecisionTreeRegressor tree.ExtraTreeClassifier tree.ExtraTreeRegressor",
        Rule(gives="holder", kind=SEEDED, unless="random_state"),
        "sklearn.",
    ),
    **_each(
        "linear_model.LogisticRegression linear_model.LogisticRegressionCV linear_model.Ridge "
        "linear_model.RidgeClassifier",
        Rule(gives="holder", kind=SEEDED, unless="random_state", when="solver"),
        "sklearn.",
    ),
    # Networks: nobody can be sure what changes one, but drawing and looking does not.
    **_each(
        "draw draw_networkx draw_circular draw_kamada_kawai draw_random draw_spectral draw_spring draw_shell "
        "draw_planar draw_networkx_nodes draw_networkx_edges draw_networkx_labels draw_networkx_edge_labels",
        Rule(gives="drawing", kind=FIGURE, exclusive="pyplot", sees=(STYLE,), state=(RANDOM,), unless="pos"),
        "networkx.",
    ),
    **_each(
        "spring_layout fruchterman_reingold_layout random_layout erdos_renyi_graph fast_gnp_random_graph "
        "gnp_random_graph gnm_random_graph binomial_graph watts_strogatz_graph newman_watts_strogatz_graph "
        "connected_watts_strogatz_graph barabasi_albert_graph powerlaw_cluster_graph random_regular_graph "
        "random_geometric_graph random_tree configuration_model stochastic_block_model planted_partition_graph "
        "random_partition_graph double_edge_swap average_clustering",
        Rule(state=(RANDOM, "state:random"), unless="seed", kind=(OBJECT,)),
        "networkx.",
    ),
    **_each("scipy.*", PURE),
    # Whatever a distribution draws.
    **_each("*.rvs", Rule(state=(RANDOM,), unless="random_state")),
    **_each("scipy.stats.bootstrap scipy.stats.permutation_test", Rule(state=(RANDOM,), unless="random_state")),
    **_each(
        "differential_evolution basinhopping dual_annealing", Rule(state=(RANDOM,), unless="seed"), "scipy.optimize."
    ),
    "scipy.cluster.vq.*": Rule(state=(RANDOM,), unless="seed"),
    # SymPy's expressions never change.
    "sympy.*": PLAIN,
    **_each("Matrix zeros ones eye diag MutableDenseMatrix SparseMatrix", PURE, "sympy."),
    **_each("init_printing interactive.*", Rule(state=("state:display",)), "sympy."),
    "sympy.var": Rule(binds=True),
    **_each("init_session interactive.init_session", Rule(binds=True, state=("state:display",)), "sympy."),
    **_each("lambdify Function symbols Symbol", PURE, "sympy."),
    **_each("plot plotting.*", Rule(gives="drawing", kind=FIGURE, exclusive="pyplot", sees=(STYLE,)), "sympy."),
    **_each("joblib.dump", Rule(gives="plain", writes_file=1)),
    **_each("joblib.load", Rule(reads_file=0)),
    **_each("tqdm.* tqdm.auto.* tqdm.notebook.*", HOLDER),
    # Files and connections.
    "pathlib.*": Rule(gives="path"),
    **_each("absolute expanduser joinpath resolve", Rule(gives="path"), "pathlib.Path."),
    **_each("write_text write_bytes touch mkdir unlink rmdir", Rule(gives="plain", writes_file=0), "pathlib.Path."),
    **_each("read_text read_bytes open exists iterdir glob rglob stat", Rule(reads_file=0), "pathlib.Path."),
    **_each("sqlite3.connect", Rule(gives="holder", kind=(("stateful", "connection"),), writes_file=0)),
    **_each("sqlalchemy.create_engine", Rule(gives="holder", kind=(("stateful", "connection"),))),
    "io.*": Rule(gives="holder", kind=(("stateful", "file"),)),
    **_each("requests.get requests.post requests.head urllib.request.urlopen", PURE),
    **_each("tempfile.* uuid.* hashlib.* zlib.* base64.*", PURE),
    **_each("IPython.display.* ipywidgets.*", HOLDER),
    "IPython.display.display": PLAIN,
    "IPython.display.clear_output": PLAIN,
    # What nothing can be said about.
    **_each("unittest.main doctest.testmod", Rule(opaque="it looks for tests among all names")),
    "subprocess.*": Rule(opaque="it starts another program"),
    "os.system": Rule(opaque="it starts another program"),
    "os.popen": Rule(opaque="it starts another program"),
}

#: Modules that have besides what is their own all that another one has.
SAME_AS: Mapping[str, tuple[str, ...]] = {
    "pylab.": ("matplotlib.pyplot.",),
    "matplotlib.pylab.": ("matplotlib.pyplot.", "pylab."),
}


def _with_same(functions: Mapping[str, Rule]) -> dict[str, Rule]:
    """Return the table with the rules of those modules under their other names too."""
    found: dict[str, Rule] = {}
    for name, others in SAME_AS.items():
        for other in others:
            found |= {
                name + path.removeprefix(other): rule for path, rule in functions.items() if path.startswith(other)
            }
    return found | dict(functions)


#: Libraries that look up functions and classes by their names in ``__main__`` where they meet one of them.
LOOKS_IN_MAIN = (
    "__main__", "cProfile.", "concurrent.futures.ProcessPoolExecutor", "copyreg.", "dill.", "doctest.", "joblib.",
    "multiprocessing.", "pickle.", "profile.", "shelve.", "timeit.", "unittest.main",
    "unittest.mock.patch",
)  # fmt: skip

#: Methods by name.
METHODS: Mapping[str, Rule] = {
    # Change the receiver and give something back.
    **_each("popitem popleft setdefault", Rule(changes=("self",), gives="either", stores=True)),
    "pop": Rule(changes=("self",), gives="either"),
    **_each(
        "append appendleft extend extendleft insert add update discard remove put put_nowait send register "
        "add_argument subscribe add_module register_buffer",
        Rule(changes=("self",), gives="plain", stores=True),
    ),
    **_each("clear sort reverse fill resize partition setflags itemset", Rule(changes=("self",), gives="plain")),
    **_each(
        "fit partial_fit set_params train eval compile set_output",
        Rule(changes=("self",), deep=True, gives="self"),
    ),
    **_each(
        "fit_transform fit_predict fit_resample train_on_batch train_step training_step backward step zero_grad "
        "train_one_epoch fit_generator learn",
        Rule(changes=("self",), deep=True, gives="new"),
    ),
    **_each(
        "read readline readlines seek tell write writelines flush close fetchone fetchall fetchmany execute "
        "executemany executescript commit rollback recv get_nowait __next__ send throw",
        Rule(changes=("self",), gives="new"),
    ),
    # Draw on what they hang on, if that is part of a figure; frames have some of these names too.
    **_each(
        "plot hist boxplot bar barh scatter pie hexbin line area kde density box",
        Rule(changes=("figure", "ax"), gives="drawing", kind=FIGURE, exclusive="pyplot", sees=(STYLE,)),
    ),
    **_each(
        "hist2d contour contourf imshow pcolormesh pcolor errorbar fill_between fill_betweenx violinplot stem axhline "
        "axvline axhspan axvspan annotate arrow legend grid set_title set_xlabel set_ylabel set_zlabel set_xlim "
        "set_ylim set_xticks set_yticks set_xticklabels set_yticklabels set_axis_off plot_surface plot_wireframe "
        "plot_trisurf scatter3D plot3D contour3D view_init colorbar add_patch add_artist add_collection add_line "
        "add_subplot add_axes subplots tight_layout subplots_adjust set_aspect set_xscale set_yscale tick_params "
        "suptitle twinx twiny set_size_inches add_gridspec autofmt_xdate set_facecolor invert_yaxis invert_xaxis "
        "streamplot quiver matshow eventplot loglog semilogx semilogy set_major_locator set_major_formatter "
        "set_minor_locator set_minor_formatter bar_label margins spy",
        DRAWS,
    ),
    "savefig": Rule(gives="plain", writes_file=0, exclusive="pyplot"),
    # Look, and change nothing.
    **_each(
        "abs agg aggregate all any apply applymap argmax argmin argsort assign asfreq astype between bfill capitalize "
        "casefold center choice clip combine combine_first compare corr corrwith count cov cummax cummin cumprod "
        "cumsum decode describe diff div dot drop drop_duplicates droplevel dropna duplicated encode endswith eq "
        "equals eval ewm expandtabs explode ffill fillna filter find first flatten floordiv format format_map ge "
        "get_dummies gt head hexdigest idxmax idxmin index info insert_ infer_objects interpolate intersection "
        "isalnum isalpha isdecimal isdigit isin islower isna isnull isnumeric isspace issubset issuperset istitle "
        "isupper item join kurt last le ljust lower lstrip lt mad map mask max mean median melt memory_usage merge "
        "min mod mode mul ne nlargest nonzero notna notnull nsmallest nunique partition_ pct_change pivot pivot_table "
        "pow prod product ptp quantile query rank rdiv reindex reindex_like rename rename_axis reorder_levels repeat "
        "replace resample reset_index rfind rindex rjust rolling round rpartition rsplit rstrip rsub sample score "
        "searchsorted sem set_axis set_index shift skew slice_shift sort_index sort_values split splitlines stack "
        "startswith std strftime strip sub sum swapcase tail take title to_dict to_frame to_list to_numpy "
        "tolist to_period to_timestamp tobytes trace transform translate "
        "transpose truncate truediv tz_convert tz_localize union unique unstack upper value_counts var where xs "
        "zfill total_seconds timestamp isoformat weekday isocalendar date time "
        "predict predict_proba predict_log_proba decision_function inverse_transform score_samples kneighbors "
        "get_params get_feature_names_out get_feature_names most_common elements numpy cpu detach size dim "
        "exists is_file is_dir resolve absolute relative_to with_suffix with_name as_posix symmetric_difference "
        "difference isdisjoint is_integer bit_length conjugate as_integer_ratio to_datetime get_group ngroup",
        PURE,
    ),
    **_each(
        "view reshape ravel swapaxes squeeze T diagonal real imag set_option unsqueeze permute expand flatten_", VIEW
    ),
    **_each("groupby rolling expanding ewm resample", VIEW),
    # They go on showing what becomes of their dictionary.
    **_each("items keys values", Rule(gives="live")),
    **_each("get __getitem__", Rule(gives="either")),
    # A copy is another container of the same elements, except that frames and arrays have none of their own.
    "copy": COPY,
    "frame.copy": Rule(kind=FRAME),
    "rvs": Rule(state=(RANDOM,), unless="random_state"),
    **_each("iteritems iterrows itertuples", Rule(gives="holder", kind=ITERATOR)),
    "sample": Rule(state=(RANDOM,), unless="random_state"),
    **_each(
        "assign corr cov cummax cummin cumprod cumsum describe drop drop_duplicates dropna duplicated explode fillna "
        "head interpolate isna isnull melt merge nlargest notna notnull nsmallest pct_change pivot pivot_table query "
        "reindex rename reset_index set_index shift sort_index sort_values tail to_frame unstack value_counts",
        Rule(kind=FRAME),
    ),
    # What frames, series and arrays have besides: none of it changes them.
    "frame.add": Rule(kind=FRAME),
    "frame.*": PURE,
    # Write what they hold.
    **_each(
        "to_csv to_excel to_parquet to_pickle to_feather to_hdf to_stata to_json to_html to_string to_latex to_xml "
        "to_markdown",
        Rule(gives="plain", writes_file=0),
    ),
    "to_sql": Rule(gives="plain", changes=(1, "con")),
    **_each("progress_apply progress_map progress_transform", Rule(sees=("state:tqdm.pandas",))),
    "tofile": Rule(gives="plain", writes_file=0),
}

#: Line and cell magics by name: ``"nothing"`` changes nothing a task could see, ``"names"`` looks at the names it is
#: given, ``"code"`` runs its text as Python, ``"file"`` writes the file it names, ``"delete"`` takes names away,
#: ``"backend"`` chooses how figures are drawn, ``"state:…"`` changes that state; what is not listed is opaque.
MAGICS: Mapping[str, str] = {
    **dict.fromkeys(
        _words(
            "psearch load_ext reload_ext unload_ext autoreload lsmagic quickref magic page html HTML markdown latex "
            "svg SVG javascript js alias_magic doctest_mode xmode pprint automagic tb gui history hist notebook "
            "aimport watermark"
        ),
        "nothing",
    ),
    **dict.fromkeys(_words("pinfo pinfo2 pdoc pdef psource pfile"), "names"),
    **dict.fromkeys(_words("time timeit prun capture memit mprun lprun"), "code"),
    **dict.fromkeys(_words("precision config colors"), "state:display"),
    "cd": "state:cwd",
    "env": "state:environ",
    "set_env": "state:environ",
    **dict.fromkeys(_words("writefile file"), "file"),
    "matplotlib": "backend",
    "xdel": "delete",
    "pwd": "nothing",
}
#: The table that everything uses unless told otherwise.
KNOWLEDGE = Knowledge(_with_same(FUNCTIONS), METHODS, MAGICS)

#: What a name means when nothing in sight binds it: how people import these libraries.
USUAL_NAMES: Mapping[str, str] = {
    "np": "numpy",
    "pd": "pandas",
    "plt": "matplotlib.pyplot",
    "mpl": "matplotlib",
    "sns": "seaborn",
    "os": "os",
    "sys": "sys",
    "random": "random",
    "torch": "torch",
    "tf": "tensorflow",
    "display": "IPython.display.display",
    "get_ipython": "IPython.get_ipython",
}

#: How parameters are called that take a file.
FILE_KEYWORDS: tuple[str, ...] = (
    "path_or_buf", "path", "buf", "fname", "file", "filename", "filepath", "filepath_or_buffer", "excel_writer", "io",
)  # fmt: skip

#: How people call figures and their parts, for where nothing else is known of them.
FIGURE_NAMES: tuple[str, ...] = ("ax", "fig")

#: Attributes that are the same memory as the object they hang on.
SAME_MEMORY: frozenset[str] = _words("loc iloc at iat T values flat real imag data")

#: Attributes that nobody can change in place.
PLAIN_ATTRIBUTES: frozenset[str] = _words("shape size ndim dtype dtypes empty name __name__ __doc__ __class__")

#: State that any task may depend on without saying so: whoever changes it waits for all above, and all below wait.
AMBIENT: frozenset[str] = _words(
    "state:warnings state:logging state:locale state:cwd state:environ state:stdout state:sys state:display "
    "state:settings"
)

#: How functions begin that are called for nothing but to set something for all that comes after.
SETTING_VERBS: tuple[str, ...] = (
    "set", "init", "use", "enable", "disable", "register", "configure", "activate", "setup", "reset", "seed",
)  # fmt: skip

#: How methods begin that only look, whatever they belong to.
LOOKING_VERBS: tuple[str, ...] = (
    "get", "is_", "has", "to_", "as_", "number_of", "count", "describe", "summary", "plot", "list", "find", "show",
    "predict", "score", "degree", "neighbors", "nodes", "edges", "pdf", "pmf", "cdf", "sf", "ppf", "isf", "logpdf",
    "interval", "mean", "var", "std", "conf_int", "format", "repr", "len", "contains",
)  # fmt: skip

#: How a word in the name of a function that draws begins.
DRAWING_WORDS: tuple[str, ...] = ("plot", "draw", "show", "scatter", "hist", "heatmap", "figure", "axes", "render")

#: Where attributes of modules that can be changed keep their state.
ATTRIBUTE_STATE: Mapping[str, str] = {
    "os.environ": "state:environ",
    "sys.path": "state:sys",
    "sys.stdout": "state:stdout",
    "sys.stderr": "state:stdout",
    "pandas.options": "state:display",
    "matplotlib.pyplot.rcParams": STYLE,
    "matplotlib.pylab.rcParams": STYLE,
    "pylab.rcParams": STYLE,
    "matplotlib.rcParams": STYLE,
}


def state_of(path: str) -> str:
    """Return the name of the hidden state that a dotted path belongs to.

    Examples
    --------
    >>> state_of("os.environ"), state_of("mylib.config.level")
    ('state:environ', 'state:mylib')
    """
    stem = path
    while stem:
        if stem in ATTRIBUTE_STATE:
            return ATTRIBUTE_STATE[stem]
        stem = stem.rpartition(".")[0]
    return "state:" + path.partition(".")[0]
